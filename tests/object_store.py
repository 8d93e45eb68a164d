"""A local S3 server and, before it, a proxy that answers as a store in trouble does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.fs
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "bucket"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

Fault = Callable[[str, str], int | None]
"""Of a request's method and path: the status to answer, 0 for no answer at all, None to pass it on.

A negative status passes it on and is answered in the place of the store's own."""


class FaultyStore:
    """What runs behind ``endpoint``; set ``fault`` to break it, None to mend it. ``requests`` are those it had."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.fault: Fault | None = None
        self.requests: list[tuple[str, str]] = []
        self.mended = threading.Event()
        self.endpoint = ""


def _handler(store: FaultyStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self._body()
            store.requests.append((self.command, self.path))
            answer = store.fault(self.command, self.path) if store.fault else None
            if answer == 0:
                store.mended.wait(120)
                self.close_connection = True
            elif answer is not None and answer > 0:
                self._reply(answer, [], b"")
            else:
                upstream = http.client.HTTPConnection(store.upstream, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
                upstream.request(self.command, self.path, body, headers)
                reply = upstream.getresponse()
                content = reply.read()
                upstream.close()
                if answer is None:
                    self._reply(reply.status, reply.getheaders(), content)
                else:
                    self._reply(-answer, [], b"")

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)

        def _reply(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            kept = {name.lower(): value for name, value in headers}
            if self.command != "HEAD":
                kept["content-length"] = str(len(content))
            for name, value in kept.items():
                if name not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            if "content-length" not in kept:
                self.send_header("Content-Length", "0")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

        def log_message(self, *_: object) -> None:
            return

    return Handler


@contextmanager
def object_store() -> Iterator[FaultyStore]:
    """Run an S3 server with one empty bucket behind a proxy, both on free ports of the loopback interface."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = FaultyStore(f"{host}:{port}")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store))
    proxy.daemon_threads = True
    store.endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
    serving = threading.Thread(target=proxy.serve_forever, daemon=True)
    serving.start()
    try:
        direct = pyarrow.fs.S3FileSystem(
            access_key="testing",
            secret_key="testing",
            region="us-east-1",
            endpoint_override=f"http://{host}:{port}",
            allow_bucket_creation=True,
        )
        direct.create_dir(BUCKET)
        yield store
    finally:
        store.mended.set()
        proxy.shutdown()
        proxy.server_close()
        serving.join()
        server.stop()


@contextmanager
def reached(store: FaultyStore) -> Iterator[str]:
    """Set the environment as for AWS and give the URI of a folder in the bucket."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", store.endpoint)
        yield f"s3://{BUCKET}/results"
