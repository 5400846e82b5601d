import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models.errors import DataError
from tasks.data.sources import download as module
from tasks.data.sources.download import CHUNK, download

CONTENT = bytes(range(256)) * 12_000  # 2.9 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``CONTENT`` at /file, the way the test sets it to."""

    ranges = True
    break_after = 0
    broken = 0
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []

    def handle_error(self, request, client_address):
        """The client may hang up."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.broken:
            server.broken -= 1
            body = body[: server.break_after]
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("checksum", [SHA256, MD5])
def test_a_file_arrives_whole(server, tmp_path, checksum):
    path = download(server.url, tmp_path / "new" / "file", checksum)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    for _ in range(2):
        download(server.url, tmp_path / "file", SHA256)
    assert server.requests == [None]


def test_a_changed_file_is_downloaded_again(server, tmp_path):
    (tmp_path / "file").write_bytes(b"other")
    assert download(server.url, tmp_path / "file", SHA256).read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.broken, server.break_after = 2, 1_000_000
    assert download(server.url, tmp_path / "file", SHA256).read_bytes() == CONTENT
    first, second, third = server.requests
    assert first is None
    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third)]
    assert 0 < begins[0] <= 1_000_000 < begins[1] <= 2_000_000


def test_a_later_call_goes_on_where_an_earlier_gave_up(server, tmp_path):
    server.broken, server.break_after = module.ATTEMPTS, 300_000
    with pytest.raises(DataError, match=r"[1-9]\d* bytes have arrived and are kept"):
        download(server.url, tmp_path / "file", SHA256)
    assert not (tmp_path / "file").exists()
    kept = (tmp_path / "file.part").stat().st_size
    assert download(server.url, tmp_path / "file", SHA256).read_bytes() == CONTENT
    assert server.requests[-1] == f"bytes={kept}-"


def test_a_server_that_cannot_resume_starts_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])
    assert download(server.url, tmp_path / "file", SHA256).read_bytes() == CONTENT
    assert server.requests == ["bytes=5000-"]


def test_a_part_that_is_already_whole_is_only_checked(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "file", SHA256).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_part_that_is_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    assert download(server.url, tmp_path / "file", SHA256).read_bytes() == CONTENT
    assert server.requests == [f"bytes={len(CONTENT) + 4}-", None]


def test_other_bytes_are_deleted_and_both_checksums_named(server, tmp_path):
    with pytest.raises(DataError, match=rf"checksum {'0' * 64}, got {SHA256}"):
        download(server.url, tmp_path / "file", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_asked_for_twice(server, tmp_path):
    server.status = 404
    with pytest.raises(DataError, match="got: HTTP 404"):
        download(server.url, tmp_path / "file", SHA256)
    assert len(server.requests) == 1


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.status = 503
    with pytest.raises(DataError, match="got: HTTP 503"):
        download(server.url, tmp_path / "file", SHA256)
    assert len(server.requests) == module.ATTEMPTS


def test_an_unreachable_server_is_a_clear_error(server, tmp_path):
    url = server.url.replace(str(server.server_address[1]), "9")
    with pytest.raises(DataError, match=r"must be reachable.*--from DIR"):
        download(url, tmp_path / "file", SHA256)


def test_a_disk_that_cannot_be_written_is_a_clear_error(server, tmp_path):
    (tmp_path / "file.part").mkdir()
    with pytest.raises(DataError, match="must be writable"):
        download(server.url, tmp_path / "file", SHA256)


def test_progress_counts_the_chunks(server, tmp_path):
    seen = []

    def progress(steps, *, total, description):
        steps = list(steps)
        seen.append((len(steps), total, description))
        return steps

    download(server.url, tmp_path / "file", SHA256, progress)
    assert seen == [(3, -(-len(CONTENT) // CHUNK), "file (MiB)")]
