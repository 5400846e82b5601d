"""Data sets that were generated: what their bytes are."""

import hashlib


def digest(folder):
    """sha256 of the sorted lines ``path md5`` of all files below a folder."""
    lines = sorted(
        f"{path.relative_to(folder).as_posix()} "
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}\n"
        for path in folder.rglob("*")
        if path.is_file()
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
