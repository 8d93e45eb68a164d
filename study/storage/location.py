"""Where results lie: a folder of a disk or mount, or a prefix of a bucket, named by path or URI.

``parse_location("results")``, with ``"s3://bucket/results"`` or ``"gs://bucket/results"`` in its place, is a
`Location`: a `pyarrow.fs.FileSystem` and a path in it. Credentials, region and endpoint come from the usual variables
and files:
``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from trainables.errors import InputError

CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 5, 10, 2
"""An object store is given up after so long without a connection or an answer, so many times."""

ACCEPTED = "a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER that this user may read and write"


@dataclass(frozen=True, slots=True)
class Location:
    """A folder or file, and the file system that holds it; ``shown`` is what the user calls it."""

    filesystem: pyarrow.fs.FileSystem
    path: str
    shown: str

    def __truediv__(self, name: str) -> Location:
        return Location(self.filesystem, f"{self.path.rstrip('/')}/{name}", f"{self.shown.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.shown

    @property
    def local(self) -> Path | None:
        """The path on a disk or mount of this machine; None in an object store."""
        return Path(self.path) if isinstance(self.filesystem, pyarrow.fs.LocalFileSystem) else None


def hide_credentials(text: str) -> str:
    """Return a text with what stands before the host of a URL in it, as a password, left out: ``sql://***@host/name``."""
    return re.sub(r"(?<=://)[^/\s]*@", "***@", text)


def parse_location(text: str | Path) -> Location:
    """Return the location of a path or URI; nothing of it needs to exist.

    Raises:
        InputError: the URI is of another kind, its bucket cannot be found or reached, or Arrow would not find the path.
    """
    received = str(text)
    if "://" not in received:
        folder = Path(received).expanduser().absolute()
        require_utf8(str(folder))
        return Location(pyarrow.fs.LocalFileSystem(), folder.as_posix(), str(folder))
    uri = urlsplit(received)
    if uri.username or uri.password:
        raise InputError(
            f"{uri.scheme}://...@{uri.hostname}{uri.path}: holds credentials",
            "credentials in environment variables or files, which are kept out of study.json",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    try:
        if uri.scheme == "file" and not uri.fragment:
            filesystem, path = pyarrow.fs.FileSystem.from_uri(received)
            require_utf8(path)
            return Location(filesystem, path, path)
        opener = {"s3": _s3, "gs": _gcs}.get(uri.scheme)
        if opener is None or not uri.netloc or uri.query or uri.fragment:
            raise InputError(
                f"{received}: names no folder that rows can be written to",
                ACCEPTED,
                "check the address; endpoint and region are read from AWS_ENDPOINT_URL and AWS_REGION",
            )
        path = f"{uri.netloc}{uri.path}".rstrip("/")
        return Location(opener(uri.netloc), path, f"{uri.scheme}://{path}")
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{received}: {describe_error(error)}", ACCEPTED, "check the address, the network and AWS_REGION"
        ) from None


def require_utf8(path: str) -> None:
    """Refuse a path that Arrow and Ray, to whom all names are UTF-8, would not find or would find elsewhere.

    Raises:
        InputError: its name is of other bytes, or Python reads names by a locale that has less than UTF-8.
    """
    with suppress(UnicodeEncodeError):
        if os.fsencode(path) == path.encode():
            return
    encoding = sys.getfilesystemencoding()
    raise InputError(
        f"{path!a}: a name that is no UTF-8 where Python reads names as {encoding}",
        "a path of ASCII letters, or any path where names are UTF-8",
        "rename the folder, or choose another one"
        if encoding == "utf-8"
        else "export LC_ALL=C.UTF-8 PYTHONUTF8=1, then give the same command",
    )


def _s3(bucket: str) -> pyarrow.fs.FileSystem:
    # Arrow's own reading of a URI sets no time limits.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        region = pyarrow.fs.resolve_s3_region(bucket)
    return pyarrow.fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=ANSWER_SECONDS,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        background_writes=False,
        allow_delayed_open=True,  # makes a small file one put
    )


def _gcs(bucket: str) -> pyarrow.fs.FileSystem:
    return pyarrow.fs.GcsFileSystem(retry_time_limit=timedelta(seconds=ATTEMPTS * ANSWER_SECONDS))


def describe_error(error: Exception) -> str:
    """Return what went wrong in one line; what an operating system says without its number."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).splitlines()[0][:300]
