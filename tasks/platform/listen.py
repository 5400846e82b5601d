"""Listen: the socket of a server, taken before anything expensive is loaded."""

import socket

from models.errors import InvalidInputError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InvalidInputError: If the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InvalidInputError(
            f"The server must be able to listen on {host} port {port}, got: {error}. "
            "Choose another with --host and --port."
        ) from error
