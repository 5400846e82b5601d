"""A real HTTP server of an app, for as long as a test needs it."""

import socket
import threading
from contextlib import contextmanager

import uvicorn


@contextmanager
def running(app):
    """An app answers in a thread of this process; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=75)  # as served
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
