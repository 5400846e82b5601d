import socket

import pytest

from models.errors import InvalidInputError
from tasks.platform.listen import listen


def test_a_free_port_can_be_listened_on():
    with listen("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname()) as caller:
            caller.sendall(b"hello")
        answered, _ = listener.accept()
        with answered:
            assert answered.recv(5) == b"hello"


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("192.0.2.1", 8000)])
def test_what_cannot_be_listened_on_is_named(host, port):
    with pytest.raises(InvalidInputError, match=f"listen on {host} port {port}"):
        listen(host, port)
