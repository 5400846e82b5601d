import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from tasks.console.serving import Serving, answers


@contextlib.contextmanager
def server(code, **answer):
    """A server that answers everything alike; yields its address and the headers it saw."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            body = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", seen
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def test_a_process_tells_what_it_serves(repository):
    health = {"status": "degraded", "version": 3, "since": "2026", "problem": "Version 4 is lost."}
    with server(200, **health) as (url, _):
        found = Serving({"squares": url + "/"}).health("squares")
    assert (found.state, found.version, found.problem) == ("degraded", 3, "Version 4 is lost.")
    assert found.url == url


def test_a_process_without_a_champion_waits(repository):
    with server(503, error="No detector is loaded yet.") as (url, _):
        found = Serving({"squares": url}).health("squares")
    assert (found.state, found.problem) == ("waiting", "No detector is loaded yet.")


def test_a_process_that_is_gone_is_silent_and_an_unknown_one_is_none(repository):
    with server(200) as (url, _):
        assert answers(url)
    serving = Serving({"squares": url})
    assert not answers(url)
    assert serving.health("squares").state == "silent"
    assert serving.drift("squares", {}) is None
    assert serving.health("circles").state == "none"
    assert serving.url("circles") is None
    assert serving.drift("circles", {}) is None


def test_drift_is_asked_for_with_the_key_of_who_looks(repository):
    with server(200, verdict="drift") as (url, seen):
        found = Serving({"squares": url}).drift("squares", {"authorization": "Bearer abc"})
    assert found == {"verdict": "drift"}
    assert {key.lower(): value for key, value in seen[0].items()}["authorization"] == "Bearer abc"
