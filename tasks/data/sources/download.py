"""Files from the web: with a progress bar, resumed where they broke off, and checked."""

import hashlib
import math
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx

from models.contracts import Progress, silent
from models.errors import DataError

CHUNK = 1 << 20
"""Bytes of one step of the progress bar."""
ATTEMPTS = 4
"""How often a broken connection is taken up again before giving up."""
PAUSE = 0.5
"""Seconds before the first new attempt; twice as long before each further one."""


def download(url: str, target: Path, checksum: str, progress: Progress = silent) -> Path:
    """Download a file, or go on where an earlier call broke off.

    Args:
        url: Where it is.
        target: Where to put it; what has arrived so far waits in ``<target>.part``.
        checksum: Its published MD5 or SHA-256, in hex.
        progress: Shows the MiB.

    Returns:
        ``target``, whose bytes have that checksum.

    Raises:
        DataError: If the server cannot be reached or does not have it, if the disk is full, or if
            the bytes have another checksum; such bytes are deleted.
    """
    if target.exists() and _digest(target, checksum) == checksum:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    _receive_patiently(url, part, progress)
    actual = _digest(part, checksum)
    if actual != checksum:
        part.unlink()
        raise DataError(
            f"{url} must have the checksum {checksum}, got {actual}. Run the command again to "
            "download it anew; if that does not help, get the data elsewhere and pass --from DIR."
        )
    return part.rename(target)


def _receive_patiently(url: str, part: Path, progress: Progress) -> None:
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return _receive(url, part, progress)
        except httpx.TransportError as error:
            problem = str(error) or type(error).__name__
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            problem = f"HTTP {status}"
            if status < 500:
                break
        except OSError as error:
            raise DataError(
                f"{part} must be writable, got: {error.strerror}. Check the permissions and the "
                "free space of that disk."
            ) from error
    kept = part.stat().st_size if part.exists() else 0
    raise DataError(
        f"{url} must be reachable, got: {problem}. {kept} bytes have arrived and are kept: run "
        "the command again to go on, or get the data elsewhere and pass --from DIR."
    )


def _receive(url: str, part: Path, progress: Progress) -> None:
    """Append to ``part`` what is missing, or start anew if the server cannot resume."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=30) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return None
            part.unlink()
            return _receive(url, part, progress)
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0))
        _check_space(part, size)
        with part.open("ab" if _resumes(response, start) else "wb") as file:
            chunks = _write(response.iter_raw(), file)
            total, description = math.ceil(size / CHUNK), f"{part.stem} (MiB)"
            for _ in progress(chunks, total=total, description=description):
                pass
    return None


def _resumes(response: httpx.Response, start: int) -> bool:
    """Whether the answer goes on from ``start``; a server may also send everything again."""
    partial = response.status_code == httpx.codes.PARTIAL_CONTENT
    return partial and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _write(pieces: Iterable[bytes], file: BinaryIO) -> Iterator[int]:
    """Write everything as it arrives, so that little is lost; yields once for each chunk."""
    pending = 0
    for piece in pieces:
        pending += file.write(piece)
        while pending >= CHUNK:
            pending -= CHUNK
            yield CHUNK
    if pending:
        yield pending


def _check_space(part: Path, size: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if size > free:
        raise DataError(
            f"{part.parent} must have {size >> 20} MiB free for {part.stem}, got {free >> 20}. "
            "Make room there."
        )


def _digest(path: Path, like: str) -> str:
    """Checksum of a file, of the kind that ``like`` is: MD5 or SHA-256."""
    md5 = len(like) == 32
    with path.open("rb") as file:
        hashed = hashlib.file_digest(
            file, (lambda: hashlib.md5(usedforsecurity=False)) if md5 else hashlib.sha256
        )
    return hashed.hexdigest()
