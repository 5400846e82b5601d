"""Requests that nobody should send: damaged images, bodies and headers, each from its number."""

import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

HONEST = 20
"""Every which case is an honest request."""
BOUNDARY = b"----boundary7"
WORDS = (b"", b"\x00", b"\xff\xfe", b"%00", b"..", b"A" * 9000, b"\r\n", b"\n", b"--", b'"', b"{}")
CONTENT_TYPES = (
    b"multipart/form-data",
    b"multipart/form-data; boundary=",
    b'multipart/form-data; boundary="' + b"x" * 300 + b'"',
    b"multipart/form-data; boundary=\xff\xff",
    b"multipart/mixed; boundary=" + BOUNDARY,
    b"application/json",
    b"application/x-www-form-urlencoded",
    b"text/plain; charset=nonsense",
    b"",
)


@dataclass(frozen=True)
class Case:
    """One request."""

    number: int
    kind: str
    payload: bytes


def seeds_of_images() -> dict[str, bytes]:
    """Honest files of every kind that the server reads, to be damaged."""
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    found = {}
    for name, shown, kind in (
        ("gray.png", pixels[..., 0], "PNG"),
        ("colour.png", pixels, "PNG"),
        ("gray.jpeg", pixels[..., 0], "JPEG"),
        ("colour.jpeg", pixels, "JPEG"),
    ):
        file = BytesIO()
        Image.fromarray(shown).save(file, kind)
        found[name] = file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (24, 16))
        for _ in range(8):
            writer.write(pixels)
        writer.release()
        found["clip.avi"] = path.read_bytes()
    return found


def damage(content: bytes, chance: random.Random) -> bytes:
    """Bytes with one to eight accidents."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(found) + 1)
        accident = chance.randrange(6)
        if accident == 0:
            del found[place:]
        elif accident == 1:
            found[place:place] = chance.randbytes(chance.randint(1, 40))
        elif accident == 2:
            del found[place : place + chance.randint(1, 40)]
        elif accident == 3:
            found[place:place] = chance.choice(WORDS)
        elif accident == 4 and place < len(found):
            found[place:place] = found[: chance.randint(1, 200)]
        elif place < len(found):
            found[place] ^= 1 << chance.randrange(8)
    return bytes(found)


def lying_png(chance: random.Random) -> bytes:
    """A PNG whose header, with a right checksum, says something about its pixels that is not so."""
    side = [0, 1, 2**16, 2**31 - 1, 2**32 - 1, chance.randrange(1, 5000)]
    bits, colour = chance.choice([0, 1, 2, 4, 8, 16, 255]), chance.choice([0, 2, 3, 4, 6, 7, 255])
    head = struct.pack(">IIBB", chance.choice(side), chance.choice(side), bits, colour)
    head += chance.choice([b"\0\0\0", b"\0\0\1", b"\1\1\1", b"\xff\xff\xff"])
    data = zlib.compress(bytes(chance.randrange(100_000)))
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    if chance.random() < 0.3:
        chunks.insert(1, (b"iCCP", b"x\0\0" + zlib.compress(bytes(10**6))))
    if chance.random() < 0.3:
        chunks.insert(1, (b"zTXt", b"x\0\0" + zlib.compress(bytes(10**7))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )  # fmt: skip


def multipart(*files: bytes, fields: bytes = b"") -> bytes:
    """The body of a request with these files."""
    parts = [
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="files"; filename="'
        + str(place).encode() + b'"\r\nContent-Type: image/png\r\n\r\n' + content + b"\r\n"
        for place, content in enumerate(files)
    ]  # fmt: skip
    return b"".join(parts) + fields + b"--" + BOUNDARY + b"--\r\n"


def request(
    body: bytes,
    *,
    method: bytes = b"POST",
    path: bytes = b"/predict",
    headers: tuple[bytes, ...] | None = None,
) -> bytes:
    """The bytes of a request, with an honest length and type unless other headers are given."""
    if headers is None:
        length = str(len(body)).encode()
        content_type = b"multipart/form-data; boundary=" + BOUNDARY
        headers = (b"Content-Type: " + content_type, b"Content-Length: " + length)
    lines = (method + b" " + path + b" HTTP/1.1", b"Host: a", b"Connection: close", *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def of_images(chance: random.Random, files: dict[str, bytes], clip: tuple[bytes, ...]) -> bytes:
    """An honest request with damaged files."""
    made = []
    for frame in clip:
        draw = chance.random()
        if draw < 0.4:
            made.append(damage(frame, chance))
        elif draw < 0.5:
            made.append(lying_png(chance))
        elif draw < 0.8:
            made.append(damage(chance.choice(list(files.values())), chance))
        else:
            made.append(frame)
    if chance.random() < 0.3:
        made = [damage(files["clip.avi"], chance)]
    path = chance.choice([b"/predict", b"/predict?anomaly_map=true"])
    return request(multipart(*made), path=path)


def of_bodies(chance: random.Random, _: dict[str, bytes], clip: tuple[bytes, ...]) -> bytes:
    """Honest files in a damaged body."""
    field = chance.choice([b"anomaly_map", b"files", b"x" * 5000, b"\xff", b'a"; filename="b'])
    value = chance.choice((*WORDS, b"true", b"1", b"perhaps"))
    head = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + field + b'"\r\n'
    fields = (head + b"\r\n" + value + b"\r\n") * chance.choice([0, 1, 1, 2, 30])
    body = multipart(*clip[: chance.randint(0, len(clip))], fields=fields)
    edges = [body, body.replace(b"\r\n", b"\n"), body.replace(BOUNDARY, BOUNDARY[:-1], 1)]
    body = chance.choice(edges)
    return request(damage(body, chance) if chance.random() < 0.7 else body)


def of_headers(chance: random.Random, _: dict[str, bytes], clip: tuple[bytes, ...]) -> bytes:
    """An honest body under strange headers."""
    body = multipart(*clip)
    length = chance.choice(
        [b"-1", b"0", b"1e3", b"99999999999999999999", b"", b"abc", b"0x10", b"+5"]
        + [str(len(body) + change).encode() for change in (-1, 0, 0, 0, 1, 10**9)]
    )
    good = b"multipart/form-data; boundary=" + BOUNDARY
    content_type = chance.choice([*CONTENT_TYPES, good, good, damage(good, chance)])
    headers = [b"Content-Type: " + content_type, b"Content-Length: " + length]
    extra = (b"X-Request-ID", b"Authorization", b"X-API-Key", b"Transfer-Encoding", b"Expect")
    more = (b"Content-Encoding", b"Range", b"Cookie", b"Content-Length", b"Upgrade", b"Origin")
    values = (*WORDS, b"chunked", b"100-continue", b"gzip", b"Bearer x", b"websocket", b"identity")
    headers += [
        chance.choice(extra + more) + b": " + chance.choice(values)
        for _ in range(chance.randint(0, 4))
    ]
    if chance.random() < 0.1:
        headers += [b"X-%d: y" % number for number in range(300)]
    return request(body, headers=tuple(headers))


def of_requests(chance: random.Random, _: dict[str, bytes], clip: tuple[bytes, ...]) -> bytes:
    """Requests for other things, and what is no request."""
    body = multipart(*clip)
    if chance.random() < 0.2:
        return chance.randbytes(chance.randint(1, 300))
    if chance.random() < 0.3:
        return damage(request(body), chance)
    methods = (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"X" * 50, b"")
    paths = (b"/health", b"/metrics", b"/drift", b"/docs", b"/openapi.json", b"/", b"//", b"*")
    odd = (b"/predict/%2e%2e/", b"/" + b"a" * 9000, b"/\xff", b"/predict?anomaly_map=%ff", b"/%zz")
    return request(
        chance.choice([b"", body]), method=chance.choice(methods), path=chance.choice(paths + odd)
    )


KINDS: dict[str, Callable[[random.Random, dict[str, bytes], tuple[bytes, ...]], bytes]] = {
    "images": of_images,
    "bodies": of_bodies,
    "headers": of_headers,
    "requests": of_requests,
}


def cases(num: int, seed: int, clip: tuple[bytes, ...]) -> Iterator[Case]:
    """Cases 0 to ``num - 1``; each depends on the seed and its own number alone.

    Args:
        num: How many.
        seed: Of all chance.
        clip: Files of an honest request.
    """
    files = seeds_of_images()
    for number in range(num):
        chance = random.Random(seed * 1_000_003 + number)  # noqa: S311
        kind = chance.choice(list(KINDS)) if number % HONEST else "honest"
        honest = kind == "honest"
        payload = request(multipart(*clip)) if honest else KINDS[kind](chance, files, clip)
        yield Case(number, kind, payload)
