"""Load: HTTP requests by keep-alive connections, in a process of its own, from a plan in JSON.

``load`` starts that process and tells what it found; by hand it is

    python -m benchmarks._load < plan.json

The plan names host, port, path, content type, body (base64), connections, and either ``seconds`` or
``requests``; with ``rate``, requests start at these times on average (Poisson), whether or not
earlier ones are answered, and latency counts from when each was due.
"""

import asyncio
import base64
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import uvloop

from benchmarks._product import ROOT

if TYPE_CHECKING:
    from benchmarks._serving import Server  # which imports more than what asks should have to


@dataclass
class Tally:
    """What came back; seconds of what was answered 200."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._host, self._port = plan["host"], plan["port"]
        body = base64.b64decode(plan["body"])
        head = (
            f"POST {plan['path']} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Type: {plan['content_type']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""

    async def ask(self) -> tuple[int, bytes]:
        """Status and body of the answer to one request; 0 if the connection broke."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():  # it was idle for too long
            try:
                await loop.create_connection(lambda: self, self._host, self._port)
            except OSError:
                return 0, b""
        self._answer, self._received = loop.create_future(), b""
        assert self._transport is not None
        self._transport.write(self._request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what requests are written to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """Whoever waits for an answer gets none."""
        self._transport = None
        if self._answer and not self._answer.done():
            self._answer.set_result((0, b""))

    def data_received(self, data: bytes) -> None:
        """Answer as soon as all of it is there."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        fields = head.lower()
        _, known, length = fields.partition(b"content-length:")
        if not known or len(body) < int(length.split(b"\r\n", 1)[0]):
            return
        if b"connection: close" in fields and self._transport:
            self._transport.close()
        self._answer.set_result((int(head[9:12]), body))


def note(tally: Tally, status: int, body: bytes, since: float) -> None:
    """Count an answer."""
    tally.statuses[str(status)] += 1
    if status == 200:
        tally.seconds.append(time.perf_counter() - since)
    place = body.find(b'"version": ')
    if status == 200 and place >= 0:
        tally.versions[body[place + 11 : place + 21].split(b",")[0].decode()] += 1


async def closed(plan: dict[str, Any], tally: Tally) -> None:
    """Each connection asks again as soon as it was answered."""
    end = time.perf_counter() + plan.get("seconds", float("inf"))
    left = iter(range(plan.get("requests", sys.maxsize)))

    async def client() -> None:
        connection = Connection(plan)
        while time.perf_counter() < end and next(left, None) is not None:
            since = time.perf_counter()
            note(tally, *await connection.ask(), since)

    await asyncio.gather(*(client() for _ in range(plan["connections"])))


async def opened(plan: dict[str, Any], tally: Tally) -> None:
    """Requests come when they come."""
    chance, due = random.Random(0), time.perf_counter()  # noqa: S311
    end = due + plan["seconds"]
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(plan["connections"]):
        idle.put_nowait(Connection(plan))

    async def one(since: float) -> None:
        connection = await idle.get()
        note(tally, *await connection.ask(), since)
        idle.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        while due < end:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            group.create_task(one(due))
            due += chance.expovariate(plan["rate"])


def load(server: "Server", request: dict[str, Any], **plan: Any) -> dict[str, Any]:
    """What a process of its own measures while it asks a server."""
    host, port = server.address
    before = server.processor_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._load"],
        input=json.dumps({"host": host, "port": port, **request, **plan}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    computed = server.processor_seconds() - before
    found["processor_ms"] = 1e3 * computed / found["requests"]
    sys.stderr.write(f"{request['path']} {plan} {found}\n")
    return found


def request(path: str, content_type: str, body: bytes) -> dict[str, Any]:
    """One request of a plan."""
    text = base64.b64encode(body).decode()
    return {"path": path, "content_type": content_type, "body": text}


def failures(found: dict[str, Any], *, may_refuse: bool = False) -> int:
    """Requests that were not answered 200, nor turned away where a server may do so."""
    fine = {"200", "429"} if may_refuse else {"200"}
    return sum(count for status, count in found["statuses"].items() if status not in fine)


def turned_away(found: dict[str, Any]) -> float:
    """Share of the requests that were answered 429."""
    return float(found["statuses"].get("429", 0) / found["requests"])


def main() -> None:
    """Carry out the plan, and print what came back."""
    plan, tally = json.load(sys.stdin), Tally()
    started = time.perf_counter()
    uvloop.run((opened if "rate" in plan else closed)(plan, tally))
    took = time.perf_counter() - started
    p50, p99 = np.quantile(tally.seconds or [np.inf], [0.5, 0.99]) * 1e3
    requests = tally.statuses.total()
    found = {
        "requests_per_s": requests / took,
        "requests": requests,
        "p50_ms": p50,
        "p99_ms": p99,
        "statuses": tally.statuses,
        "versions": tally.versions,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
