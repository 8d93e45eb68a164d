"""Downloads: whatever mirrors and disks do, only the right bytes get through."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainables.data.download import RemoteFile, describe_difference, read_cached, read_placed
from trainables.errors import InputError

CONTENTS = {"images.gz": bytes(range(256)) * 400, "labels.gz": b"0123456789" * 50}
IMAGES, LABELS = (RemoteFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items())
HTML = b"<!DOCTYPE html><title>Please log in</title>"


class Mirrors(ThreadingHTTPServer):
    """A server on which each first part of the path is a mirror with a fault of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mirror)
        self.requests: Counter[str] = Counter()
        self.stopping = threading.Event()

    def named(self, *faults: str) -> list[str]:
        """Return the addresses of the mirrors with these faults."""
        return [f"http://127.0.0.1:{self.server_address[1]}/{fault}/" for fault in faults]


class Mirror(BaseHTTPRequestHandler):
    """One request to a mirror."""

    server: Mirrors

    def do_GET(self) -> None:
        """Answer with the fault that the path names."""
        self.server.requests[self.path] += 1
        _, fault, name = self.path.split("/")
        data = CONTENTS[name]
        if fault == "silent":
            self.server.stopping.wait()
            return
        if fault == "slow":
            time.sleep(0.5)
        self.send_response(500 if fault == "failing" else 200)
        body = {"html": HTML, "failing": b"sorry", "empty": b"", "damaged": bytes([data[0] ^ 1]) + data[1:]}
        body |= {"endless": data + b"more"}
        self.send_header("Content-Length", str(len(body.get(fault, data))))
        self.end_headers()
        if fault in ("breaking", "stalling"):
            self.wfile.write(data[: len(data) // 2])
            if fault == "stalling":
                self.wfile.flush()
                self.server.stopping.wait()
        else:
            self.wfile.write(body.get(fault, data))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    """A server for the time of a test, reached past any proxy."""
    monkeypatch.setenv("no_proxy", "*")
    with Mirrors() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()


def names_in(folder: Path) -> set[str]:
    """Return the names of all files in ``folder`` but the lock."""
    return {path.name for path in folder.iterdir()} - {".lock"}


@pytest.mark.fault("download: breaks off, HTML, error, silent, stalls, empty, damaged, endless")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("breaking", "truncated, or another file: 51,200 of 102,400 bytes"),
        ("html", "a page of HTML or XML in place of the file"),
        ("failing", "HTTP Error 500"),
        ("silent", "silent for 0.5 s"),
        ("stalling", "silent for 0.5 s"),
        ("empty", "empty"),
        ("damaged", "damaged: the right length, but other bytes"),
        ("endless", "another file: longer than 102,400 bytes"),
    ],
)
def test_a_faulty_mirror_is_passed_over_and_named_with_its_reason_when_it_is_the_only_one(
    mirrors: Mirrors, tmp_path: Path, fault: str, reason: str
) -> None:
    """No fault of one mirror ends a download that another can serve, and none leaves a file behind."""
    with pytest.raises(InputError) as caught:
        read_cached(IMAGES, tmp_path / "alone", mirrors.named(fault), stall_seconds=0.5)
    assert f"/{fault}/: {reason}" in caught.value.received
    assert str(tmp_path / "alone" / "images.gz") in caught.value.remedy
    assert names_in(tmp_path / "alone") == set()

    folder = tmp_path / "followed"
    data = read_cached(IMAGES, folder, mirrors.named(fault, "good"), stall_seconds=0.5)
    assert data == CONTENTS["images.gz"] == (folder / "images.gz").read_bytes()
    assert names_in(folder) == {"images.gz"}


@pytest.mark.fault("download: no mirror has the file")
def test_every_mirror_is_listed_when_none_has_the_file(mirrors: Mirrors, tmp_path: Path) -> None:
    """Each has its own reason, and all fit on a screen."""
    nobody_listens = "http://127.0.0.1:1/"
    with pytest.raises(InputError) as caught:
        read_cached(IMAGES, tmp_path, [nobody_listens, *mirrors.named("html", "failing")])
    lines = str(caught.value).splitlines()
    assert any(nobody_listens in line and "refused" in line for line in lines)
    assert any("/html/" in line and "HTML" in line for line in lines)
    assert any("/failing/" in line and "500" in line for line in lines)
    assert len(lines) <= 20


def test_the_first_good_mirror_is_the_last_one_asked(mirrors: Mirrors, tmp_path: Path) -> None:
    """A file in the cache is not asked for again."""
    read_cached(IMAGES, tmp_path, mirrors.named("good", "html"))
    read_cached(IMAGES, tmp_path, mirrors.named("good", "html"))
    assert mirrors.requests == {"/good/images.gz": 1}


@pytest.mark.fault("data: wrong file in the cache")
def test_a_wrong_file_in_the_cache_is_downloaded_again(mirrors: Mirrors, tmp_path: Path) -> None:
    """A damaged cache repairs itself."""
    (tmp_path / "images.gz").write_bytes(CONTENTS["images.gz"][:-1])
    assert read_cached(IMAGES, tmp_path, mirrors.named("good")) == CONTENTS["images.gz"]
    assert (tmp_path / "images.gz").read_bytes() == CONTENTS["images.gz"]


@pytest.mark.fault("data: wrong file in the cache")
def test_a_wrong_file_leaves_the_cache_even_when_nothing_replaces_it(mirrors: Mirrors, tmp_path: Path) -> None:
    """No other program reads it by mistake."""
    (tmp_path / "images.gz").write_bytes(HTML)
    with pytest.raises(InputError):
        read_cached(IMAGES, tmp_path, mirrors.named("failing"))
    assert names_in(tmp_path) == set()


@pytest.mark.fault("download: killed before")
def test_what_a_killed_process_left_is_never_read_and_goes_with_the_next_download(
    mirrors: Mirrors, tmp_path: Path
) -> None:
    """Neither half a file nor an abandoned lock stands in the way."""
    (tmp_path / "tmpkilled").write_bytes(CONTENTS["images.gz"][:1000])
    (tmp_path / ".lock").touch()
    assert read_cached(IMAGES, tmp_path, mirrors.named("good")) == CONTENTS["images.gz"]
    assert names_in(tmp_path) == {"images.gz"}


@pytest.mark.fault("download: several processes at once")
def test_processes_that_start_at_once_download_each_file_once(mirrors: Mirrors, tmp_path: Path) -> None:
    """Of two processes one waits and reads what the other has downloaded."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        asked = [
            pool.submit(read_cached, file, tmp_path, mirrors.named("slow")) for file in (IMAGES, IMAGES, LABELS, LABELS)
        ]
        received = [future.result(timeout=60) for future in asked]
    assert received == [CONTENTS["images.gz"]] * 2 + [CONTENTS["labels.gz"]] * 2
    assert mirrors.requests == {"/slow/images.gz": 1, "/slow/labels.gz": 1}


def test_a_cache_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    """The message names the variable that moves the cache."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="XDG_CACHE_HOME"):
        read_cached(IMAGES, tmp_path / "file" / "mnist", [])


def test_placed_files_are_returned_in_the_order_asked_for(tmp_path: Path) -> None:
    """Images and labels are told apart by position."""
    for name, data in CONTENTS.items():
        (tmp_path / name).write_bytes(data)
    assert read_placed([LABELS, IMAGES], tmp_path, []) == [CONTENTS["labels.gz"], CONTENTS["images.gz"]]


def test_all_wrong_placed_files_are_named_at_once_and_left_alone(tmp_path: Path) -> None:
    """One run shows all that is to be done."""
    (tmp_path / "images.gz").mkdir()
    with pytest.raises(InputError) as caught:
        read_placed([IMAGES, LABELS], tmp_path, ["http://one/", "http://two/"])
    assert "images.gz: Is a directory" in caught.value.received
    assert "labels.gz: missing" in caught.value.received
    assert "http://one/ and http://two/" in caught.value.accepted
    assert names_in(tmp_path) == {"images.gz"}


@pytest.mark.fault("data: truncated, bit-flipped, empty, HTML, swapped")
def test_swapped_files_are_recognised(tmp_path: Path) -> None:
    """The message says which file is under which name."""
    (tmp_path / "images.gz").write_bytes(CONTENTS["labels.gz"])
    (tmp_path / "labels.gz").write_bytes(CONTENTS["images.gz"])
    with pytest.raises(InputError) as caught:
        read_placed([IMAGES, LABELS], tmp_path, [])
    assert "images.gz: holds labels.gz" in caught.value.received
    assert "labels.gz: holds images.gz" in caught.value.received


def test_a_difference_shows_both_checksums() -> None:
    """Expected and received can be compared with what `sha256sum` prints."""
    # SHA-256 of nothing, FIPS 180-4.
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    shown = describe_difference(b"", IMAGES)
    assert shown is not None and nothing in shown and IMAGES.sha256 in shown
    assert describe_difference(CONTENTS["images.gz"], IMAGES) is None


def test_a_downloaded_file_is_made_as_any_other(mirrors: Mirrors, tmp_path: Path) -> None:
    """A cache may be shared: the file is not its maker's alone."""
    (tmp_path / "beside").touch()
    read_cached(IMAGES, tmp_path, mirrors.named("good"))
    assert (tmp_path / "images.gz").stat().st_mode == (tmp_path / "beside").stat().st_mode
