"""How much the server bears: beside ``mlflow models serve``, at 80%, for long, and in change.

Same model version, same image, same machine, one run. First three servers by turns, with as many
connections as suit each best: MLflow's with the model as it was before there were programs (eager
torch), MLflow's with the model as it is, ours; ratios are of one turn. Then ours at 80% of that
(Poisson arrivals, latency from when a request was due; three times in which it stayed 80%), then
one with ``--max-wait-ms 50``, which turns away whoever would wait longer, at the same rate, and the
same with ``padim`` and photographs of 256 x 256 as PNG; many requests for its memory; and the
champion changes again and again under load. A request fails that is not answered 200, or 429 where
the wait is limited: how many are turned away is told. Servers and the load generator share the
machine; the processor time of a server for each request is told beside.

Asked: 8 times as many requests per second as MLflow's server with the eager model and 5 times as
many as with the same one, p99 below 100 ms at 80% (a limited wait is allowed) and at most 3 times
p50, an answer within 4 s of the start, at most 3 s more than for an empty model until MLflow has
loaded it and made a prediction, memory flat over 100,000 requests, no failed request in a swap.

    python -m benchmarks.serving [--requests 100000] [--seconds 20] [--swaps 20]
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Mapping
from typing import Any

from benchmarks._load import failures, load, request, turned_away
from benchmarks._product import Product
from benchmarks._result import report
from benchmarks._serving import (
    NAME,
    STILLS,
    Server,
    clip_of_png,
    loading,
    mlflows,
    ours,
    photograph,
    promoter,
    to_mlflow,
    trained,
)

CONNECTIONS = (4, 16, 32)
"""Of the clients of one server; the best counts."""
STARTS = 3
"""Starts of our server; the median counts."""
OPEN_CONNECTIONS = 60
"""For requests that come when they come: below what the server takes from one client."""
TURNS = 5
"""Of the servers that are compared: the machine's pace changes by a third within minutes."""
SHARE, TIMES = 0.8, 3
"""Of the most requests per second, and how often that is measured: the machine's pace changes."""
STEADY, TRIES = 0.05, 9
"""By how much that share may be missed, and how often it is tried at most."""
LIMIT = ("--max-wait-ms", "50")
"""Of the server that turns away whoever would wait longer."""
WARM_UP = 0.1
"""Share of the many requests after which memory is first looked at."""
Found = dict[str, Any]


def to_ours() -> dict[str, Any]:
    """An image as our server takes it: a PNG file."""
    return request("/predict", "image/png", clip_of_png()[0])


def calmly(
    server: Server, asked: Found, best: Found, seconds: float, limited: Server | None = None
) -> Found:
    """Answers to requests that come when they come, at 80% of the most requests per second.

    Where the wait of another server of the same model is limited, that one is asked; the most is
    what the server without a limit answers, since a refusal is quick.

    What is the most is measured before and after each time. Where that has changed by so much that
    the rate was another share of it, the time does not count: a tail at 80% of what a machine was
    able to do a minute ago says nothing. Of those that count, or of all if none does, that of the
    median p99 is told, and how many there were of both.
    """

    def most() -> float:
        found = load(server, asked, connections=best["connections"], seconds=seconds / 2)
        return float(found["requests_per_s"])

    times: list[Found] = []
    steady: list[Found] = []
    before = most()
    while len(times) < TRIES and len(steady) < TIMES:
        rate = SHARE * before
        plan = {"connections": OPEN_CONNECTIONS, "rate": rate, "seconds": 2 * seconds}
        answered, after = load(limited or server, asked, **plan), most()
        share = 2 * rate / (before + after)
        times.append({**answered, "rate": rate, "share": share})
        if abs(share - SHARE) <= STEADY:
            steady.append(times[-1])
        before = after
    counted = sorted(steady or times, key=lambda each: float(each["p99_ms"]))
    return {
        **counted[len(counted) // 2],
        "failures": sum(failures(each, may_refuse=limited is not None) for each in times),
        "turned_away": statistics.median(map(turned_away, counted)),
        "p99_ms_least": counted[0]["p99_ms"],
        "p99_ms_largest": counted[-1]["p99_ms"],
        "steady": len(steady),
        "times": len(times),
    }


def capacity(server: Server, asked: dict[str, Any], seconds: float) -> Found:
    """The most requests per second, over numbers of connections; all of them answered 200."""
    load(server, asked, connections=4, seconds=min(seconds, 5.0))
    found = [
        {**load(server, asked, connections=num, seconds=seconds), "connections": num}
        for num in CONNECTIONS
    ]
    whole = [each for each in found if failures(each) == 0]
    return max(whole, key=lambda each: float(each["requests_per_s"]))


def by_turns(servers: Mapping[str, tuple[Server, dict[str, Any]]], seconds: float) -> Found:
    """What each of several servers answers most in a second, in turns of all of them.

    Returns:
        By server, ``requests_per_s`` and ``processor_ms``, medians of the turns; and ``ratio`` to
        the last server, the median of those within a turn.
    """
    best = {name: capacity(*served, seconds / 2) for name, served in servers.items()}
    turns: list[dict[str, Found]] = [
        {
            name: load(*served, connections=best[name]["connections"], seconds=seconds / 2)
            for name, served in servers.items()
        }
        for _ in range(TURNS)
    ]
    found: Found = {}
    for name in servers:
        last = [turn[list(servers)[-1]]["requests_per_s"] for turn in turns]
        rates = [turn[name]["requests_per_s"] for turn in turns]
        found[name] = {
            "connections": best[name]["connections"],
            "requests_per_s": statistics.median(rates),
            "processor_ms": statistics.median(turn[name]["processor_ms"] for turn in turns),
            "ratio": statistics.median(o / t for o, t in zip(last, rates, strict=True)),
        }
    return found


def swap(clone: Product, server: Server, swaps: int, seconds: float) -> dict[str, Any]:
    """What comes back while the champion changes, and how often it did."""
    found: dict[str, Any] = {}

    def ask() -> None:
        found.update(load(server, to_ours(), connections=8, seconds=seconds))

    thread, done = threading.Thread(target=ask), 0
    with promoter(clone) as process:
        assert process.stdin is not None
        thread.start()
        while thread.is_alive() and done < swaps:
            wanted = 3 - server.version()
            process.stdin.write(f"{wanted}\n")
            process.stdin.flush()
            while thread.is_alive() and server.version() != wanted:
                time.sleep(0.1)
            done += thread.is_alive()
        thread.join()
    return {**found, "swaps": done}


def endure(server: Server, requests: int) -> tuple[dict[str, Any], float, float]:
    """Answers to many requests after warming up, and the memory before and after, in MB."""
    first = int(requests * WARM_UP)
    load(server, to_ours(), connections=16, requests=first)
    before = server.memory_mb()
    long = load(server, to_ours(), connections=16, requests=requests - first)
    return long, before, server.memory_mb()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=100_000, help="for the memory")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--data", help="not needed: the data are embedded")
    return parser.parse_args()


def main() -> None:
    """Measure, write the result, print it last."""
    chosen = _arguments()
    with trained(stills=True) as clone:
        figures, versions = measured(clone, chosen)
    report(
        "serving",
        figures,
        seeds=[0, 1],
        notes={
            "model": "recipe digits (Deep-Anomaly, 64 x 64 gray), without pretext training",
            "image": "a normal digit; ours as a PNG body, MLflow's as JSON",
            "stills": "padim on EfficientNet-Lite0, a photograph of 256 x 256 as a PNG body",
            "swapped": f"answers by version: {json.dumps(versions)}",
        },
    )


def measured(clone: Product, chosen: argparse.Namespace) -> tuple[dict[str, float], Any]:
    """All figures, and how many answers each version gave while the champion changed."""
    stills = of_stills(clone, chosen.seconds)
    loaded, empty = loading(clone, STARTS)
    starts = []
    for _ in range(STARTS - 1):
        with ours(clone) as server:
            starts.append(server.start_s)
    with ours(clone) as server:
        starts.append(server.start_s)
        compared = beside_mlflow(clone, server, chosen.seconds)
        best = compared.pop("ours")
        calm = calmly(server, to_ours(), best, chosen.seconds)
        with ours(clone, NAME, *LIMIT) as short:
            limited = calmly(server, to_ours(), best, chosen.seconds, short)
        long, before, after = endure(server, chosen.requests)
        swapped = swap(clone, server, chosen.swaps, 4 * chosen.seconds)
    figures = {
        "requests_per_s": best["requests_per_s"],
        "start_s": statistics.median(starts),
        "load_s": loaded,
        "empty_load_s": empty,
        "processor_ms": best["processor_ms"],
        "rate": calm["rate"],
        "p50_ms": calm["p50_ms"],
        "p99_ms": calm["p99_ms"],
        "p99_ms_least": calm["p99_ms_least"],
        "p99_ms_largest": calm["p99_ms_largest"],
        "share": calm["share"],
        "times_steady": calm["steady"],
        "times_tried": calm["times"],
        **of_limited(limited),
        "memory_growth_mb": after - before,
        "memory_mb": after,
        "requests": chosen.requests,
        "swaps": swapped["swaps"],
        "swap_requests": swapped["requests"],
        "swap_failures": failures(swapped),
        "failures": calm["failures"]
        + limited["failures"]
        + failures(long)
        + stills.pop("failures"),
    }
    return figures | compared | stills, swapped["versions"]


def of_limited(found: Found, suffix: str = "") -> dict[str, float]:
    """Figures of a server whose wait is limited."""
    kept = ("p50_ms", "p99_ms", "p99_ms_least", "p99_ms_largest", "turned_away", "share", "steady")
    return {f"limited_{name}{suffix}": found[name] for name in kept}


def beside_mlflow(clone: Product, server: Server, seconds: float) -> Found:
    """Our server by turns with MLflow's, with the eager model and with the one that is registered.

    All three are up; those whose turn it is not have nothing to do.
    """
    asked = request("/invocations", "application/json", to_mlflow())
    with mlflows(clone, "torch") as eager, mlflows(clone) as same:
        memory = same.memory_mb()
        servers = {"eager": (eager, asked), "same": (same, asked), "ours": (server, to_ours())}
        found = by_turns(servers, seconds)
    return {
        "ours": found["ours"],
        "ratio": found["same"]["ratio"],
        "eager_ratio": found["eager"]["ratio"],
        "eager_mlflow_requests_per_s": found["eager"]["requests_per_s"],
        "mlflow_requests_per_s": found["same"]["requests_per_s"],
        "mlflow_processor_ms": found["same"]["processor_ms"],
        "mlflow_memory_mb": memory,
    }


def of_stills(clone: Product, seconds: float) -> dict[str, float]:
    """Figures of our server with photographs."""
    asked = request("/predict", "image/png", photograph())
    with ours(clone, STILLS) as server:
        best = capacity(server, asked, seconds)
        calm = calmly(server, asked, best, seconds)
        with ours(clone, STILLS, *LIMIT) as short:
            limited = calmly(server, asked, best, seconds, short)
    return {
        "stills_requests_per_s": best["requests_per_s"],
        "rate_stills": calm["rate"],
        "p50_ms_stills": calm["p50_ms"],
        "p99_ms_stills": calm["p99_ms"],
        "share_stills": calm["share"],
        "times_steady_stills": calm["steady"],
        "times_tried_stills": calm["times"],
        **of_limited(limited, "_stills"),
        "failures": calm["failures"] + limited["failures"],
    }


if __name__ == "__main__":
    main()
