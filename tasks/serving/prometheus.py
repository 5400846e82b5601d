"""Metrics: what Prometheus reads at ``GET /metrics``.

Requests and batches are counted as they come. What the detector says of frames, and drift, are
those of ``tasks.serving.monitoring.recorder``: counted once, and told here and at ``GET /drift``.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from tasks.serving.monitoring.drift import DriftReport

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper ends of the bins of latencies."""
SIZES = (1, 2, 4, 8, 12, 16, 24, 32)
"""Upper ends of the bins of batch sizes."""


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "unseen_requests", "Answered requests.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "unseen_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._count = cache(lambda path, status: self._requests.labels(path, str(status)))
        self._clock = cache(self._seconds.labels)
        self._batches = {
            name: Histogram(
                f"unseen_batch_{name}", meaning, buckets=buckets, registry=self.registry
            )
            for name, meaning, buckets in (
                ("requests", "Requests that were scored together.", SIZES),
                ("inputs", "Inputs that were scored together.", SIZES),
                ("seconds", "Seconds in which they were scored.", SECONDS),
            )
        }

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            path: Of the route, not as it was sent: else whoever asks could fill the memory.
            status: HTTP status.
            seconds: It took.
        """
        self._count(path, status).inc()
        self._clock(path).observe(seconds)

    def batch(self, requests: int, inputs: int, seconds: float) -> None:
        """Count a batch that was scored."""
        figures = {"requests": requests, "inputs": inputs, "seconds": seconds}
        for name, value in figures.items():
            self._batches[name].observe(value)

    def add(self, tell: Callable[[], Iterator[Metric]]) -> None:
        """Ask this as well, each time that somebody looks."""
        self.registry.register(_Told(tell))

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Told(Collector):
    def __init__(self, tell: Callable[[], Iterator[Metric]]) -> None:
        self._tell = tell

    def collect(self) -> Iterator[Metric]:
        return self._tell()

    def describe(self) -> list[Metric]:
        return []  # else the registry would ask at once, before there is a detector


def gauge(name: str, meaning: str, value: float) -> Metric:
    """One present value."""
    return GaugeMetricFamily(f"unseen_{name}", meaning, value=value)


def counter(name: str, meaning: str, value: float) -> Metric:
    """One value that only grows."""
    return CounterMetricFamily(f"unseen_{name}", meaning, value=value)


def counters(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """Values that only grow, one for each value of a label."""
    family = CounterMetricFamily(f"unseen_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def of_version(health: dict[str, Any]) -> Iterator[Metric]:
    """What ``GET /health`` tells of the version that serves."""
    told = {key: str(value) for key, value in health.items() if key not in {"status", "problem"}}
    yield InfoMetricFamily("unseen_served", "The version that serves.", value=told)
    well = float(health["problem"] is None)
    yield gauge("healthy", "1 if the champion serves, 0 if it cannot be followed.", well)


def of_drift(report: DriftReport) -> Iterator[Metric]:
    """What the served version was shown, and whether it has drifted."""
    labels, version = ["model", "version"], [report.model, str(report.version)]
    overall, recent = report.overall, report.recent
    for name, meaning, value in (
        ("frames", "Frames that were scored and counted.", overall.frames),
        ("alarms", "Frames among them that were called anomalous.", overall.alarms),
        ("uncounted_requests", "Requests whose frames were not counted.", report.lost),
    ):
        family = CounterMetricFamily(f"unseen_{name}", meaning, labels=labels)
        family.add_metric(version, value)
        yield family
    for name, meaning, number in (
        ("drift_distance", "Of recent feature vectors from normal ones.", recent.distance),
        ("drift_distance_limit", "Distance that is drift.", report.limit),
        ("drift_p_value", "That recent p-values are uniform.", recent.uniformity_p_value),
        ("alarm_rate", "Share of recent frames called anomalous.", recent.alarm_rate),
        ("alarm_rate_promised", "Share of normal frames.", report.promised_alarm_rate),
        ("drift", "1 if the recent frames have drifted.", float(report.verdict == "drift")),
    ):
        if number is not None:
            told = GaugeMetricFamily(f"unseen_{name}", meaning, labels=labels)
            told.add_metric(version, number)
            yield told
    num = len(overall.p_values)
    ends = [(place + 1) / num for place in range(num)]
    for name, meaning, inner, counts in (
        ("image_score", "Scores of frames.", report.score_edges, overall.scores),
        ("p_value", "P-values of frames.", ends[:-1], overall.p_values),
    ):
        histogram = HistogramMetricFamily(f"unseen_{name}", meaning, labels=labels)
        bounds = [*(f"{end:.6g}" for end in inner), "+Inf"]
        filled = list(zip(bounds, map(float, itertools.accumulate(counts)), strict=True))
        histogram.add_metric(version, buckets=filled, sum_value=None)
        yield histogram
