"""Does the server survive what nobody should send? Malformed images, headers and bodies, seeded.

Each case is the bytes of one HTTP request, made from its number alone: ``--seed 0 --only 4711``
sends one again. Asked: no crash, and no 5xx but 503 with Retry-After. Every twentieth case is
an honest request, whose scores must be those of the first.

    python -m benchmarks.fuzz [--cases 10000] [--seed 0] [--only NUMBER]
"""

import argparse
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks._malformed import Case, cases

WAIT_SECONDS = 120.0
"""How long an answer may take before the server counts as hung."""
PATIENCE_SECONDS = 0.5
"""After which the sender of half a request says that no more will come."""


@dataclass(frozen=True)
class Outcome:
    """What came back."""

    case: Case
    status: int
    """0 if the connection was closed without an answer."""
    body: bytes
    complaint: str = ""
    """What is wrong with it; empty if nothing is."""


def converse(connection: socket.socket, case: Case) -> bytes:
    """Send a request, and read until the other side has nothing more to say.

    Raises:
        TimeoutError: If it says nothing for too long.
    """
    answer, deadline = b"", time.monotonic() + WAIT_SECONDS
    try:
        connection.sendall(case.payload)
        if case.kind != "honest":
            connection.settimeout(PATIENCE_SECONDS)
        while True:
            try:
                received = connection.recv(65536)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(WAIT_SECONDS)
                continue
            if not received:
                return answer
            answer += received
    except ConnectionError:  # it may hang up on who does not speak HTTP; what came before counts
        return answer


def send(address: tuple[str, int], case: Case) -> Outcome:
    """Send one case, and say what is wrong with the answer."""
    try:
        with socket.create_connection(address, timeout=WAIT_SECONDS) as connection:
            answer = converse(connection, case)
    except OSError as error:
        return Outcome(case, 0, b"", f"no answer: {error!r}")
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12]) if head[9:12].isdigit() else 0
    complaint = ""
    if status >= 500 and not (status == 503 and b"retry-after" in head.lower()):
        complaint = f"status {status}"
    if case.kind == "honest" and status not in {200, 429, 503}:
        complaint = f"an honest request got status {status}"
    return Outcome(case, status, body, complaint)


def campaign(
    address: tuple[str, int], chosen: Iterator[Case], *, threads: int = 4
) -> tuple[Counter[str], list[Outcome]]:
    """Send cases, a few at a time: how often each kind got each status, and what was wrong."""
    counts: Counter[str] = Counter()
    wrong: list[Outcome] = []
    expected = None
    with ThreadPoolExecutor(threads) as pool:
        for outcome in pool.map(lambda case: send(address, case), chosen):
            counts[f"{outcome.case.kind} {outcome.status}"] += 1
            if outcome.complaint:
                wrong.append(outcome)
            if outcome.case.kind == "honest" and outcome.status == 200:
                scores = [each["image_score"] for each in json.loads(outcome.body)["frames"]]
                expected = expected or scores
                if not np.allclose(scores, expected, rtol=1e-4):
                    wrong.append(Outcome(outcome.case, 200, outcome.body, f"scores {scores}"))
    return counts, wrong


def main() -> None:
    """Start a server, send everything, write the result, print it last."""
    from benchmarks._result import report
    from benchmarks._serving import clip_of_png, serving

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one case to send")
    parser.add_argument("--data", help="not needed: the data are embedded")
    chosen = parser.parse_args()
    with serving() as server:
        num = chosen.cases if chosen.only is None else chosen.only + 1
        made = (
            c for c in cases(num, chosen.seed, clip_of_png()) if chosen.only in (None, c.number)
        )
        counts, wrong = campaign(server.address, made)
        alive = server.is_alive()
    for outcome in wrong:
        sys.stderr.write(f"case {outcome.case.number}, {outcome.case.kind}: {outcome.complaint}\n")
    if chosen.only is None:
        shed = sum(count for name, count in counts.items() if name.endswith(("429", "503")))
        report(
            "fuzz",
            {"cases": num, "wrong": len(wrong), "shed": shed, "crashes": 0.0 if alive else 1.0},
            seeds=[chosen.seed],
            notes={name: str(count) for name, count in sorted(counts.items())},
        )


if __name__ == "__main__":
    main()
