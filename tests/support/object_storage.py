"""An object storage on this machine, as much of S3 as pyarrow asks for; or one that refuses."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_NONE = b"<Error><Code>NoSuchKey</Code><Message>None</Message></Error>"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Storage"

    def do_HEAD(self) -> None:
        found = self.server.objects.get(self._key())
        self._answer(404 if found is None else 200, found or b"", is_head=True)

    def do_GET(self) -> None:
        found = self.server.objects.get(self._key())
        if "list-type" in self._query():
            self._answer(200, _listing(self.server.objects, self._query()).encode())
        elif found is None:
            self._answer(404, _NONE)
        else:
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = found[int(first) : int(last) + 1 if last else None]
            self._answer(206 if "Range" in self.headers else 200, part)

    def do_PUT(self) -> None:
        content = self._body()
        if self.server.refuses:
            self._answer(403, _DENIED)
            return
        part = self._query().get("partNumber")
        self.server.objects[self._key() + (f"?{part[0]:>05}" if part else "")] = content
        self._answer(200, b"")

    def do_POST(self) -> None:
        self._body()
        key, objects = self._key(), self.server.objects
        if self.server.refuses:
            self._answer(403, _DENIED)
        elif "uploads" in self._query():
            said = f"<Key>{key}</Key><UploadId>1</UploadId>"
            self._answer(200, f"<InitiateMultipartUploadResult>{said}</InitiateMultipartUploadResult>".encode())
        else:
            parts = sorted(name for name in objects if name.startswith(f"{key}?"))
            objects[key] = b"".join([objects.pop(name) for name in parts])
            self._answer(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/bucket").strip("/")

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _body(self) -> bytes:
        """What is sent, without the lengths that may stand between its pieces, once for HTTP and once for S3."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = _pieces(self.rfile)
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_in_pieces = "aws-chunked" in self.headers.get("Content-Encoding", "")
        return _pieces(io.BytesIO(content)) if is_in_pieces else content

    def _answer(self, status: int, body: bytes, *, is_head: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if not is_head:
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


class _Storage(ThreadingHTTPServer):
    def __init__(self, *, refuses: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.refuses = refuses


@contextmanager
def storing(*, refuses: bool = False) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The place of a bucket, to which a name is added with `at`, and its objects."""
    server = _Storage(refuses=refuses)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", server.objects
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def at(place: str, name: str) -> str:
    """The URL of a name in the bucket."""
    return f"s3://me:mysecret@bucket/{name}?scheme=http&region=us-east-1&endpoint_override={place}"


def _listing(objects: dict[str, bytes], query: dict[str, list[str]]) -> str:
    prefix = query.get("prefix", [""])[0]
    found = "".join(
        f"<Contents><Key>{name}</Key><Size>{len(content)}</Size>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for name, content in sorted(objects.items())
        if name.startswith(prefix)
    )
    count = found.count("<Key>")
    return (
        f"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated><KeyCount>{count}</KeyCount>"
        f"{found}</ListBucketResult>"
    )


def _pieces(file: BinaryIO) -> bytes:
    content = b""
    while size := int(file.readline().partition(b";")[0], 16):
        content += file.read(size)
        file.readline()
    return content
