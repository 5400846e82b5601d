"""A real MJPEG server on this machine, and pictures for it."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


def pictures(count, size=(64, 96), seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, 64, size, dtype=np.uint8) for _ in range(count)]


@contextmanager
def mjpeg(frames, each=25, pause=0.02):
    """Yields the address of a stream that ends after ``each`` frames, whenever it is opened."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(each):
                _, jpeg = cv2.imencode(".jpg", frames[number % len(frames)])
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                except OSError:
                    return
                time.sleep(pause)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/camera.mjpg"
    finally:
        server.shutdown()
        server.server_close()
