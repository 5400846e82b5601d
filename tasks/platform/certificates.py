"""The certificates that servers are checked with, read once in a process."""

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """What ``httpx`` checks servers with, to pass it as ``verify``.

    Left to itself, ``httpx`` reads all certificates again for every single request, even to a
    server without encryption; that takes longer than the answer of a server on this machine.
    """
    return httpx.create_ssl_context()
