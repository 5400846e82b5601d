import math

from prometheus_client.parser import text_string_to_metric_families

from tasks.serving import prometheus
from tasks.serving.monitoring import drift
from tasks.serving.monitoring.drift import Norm
from tasks.serving.monitoring.served_statistics import BINS
from tasks.serving.prometheus import Metrics
from tests.tasks.serving.monitoring.test_drift import filled


def read(made):
    """Every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(made.text().decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status_with_their_seconds():
    made = Metrics()
    for status, seconds in ((200, 0.004), (200, 0.06), (503, 0.004)):
        made.request("/predict", status, seconds)
    found = read(made)
    assert found["unseen_requests_total", ("path", "/predict"), ("status", "200")] == 2
    assert found["unseen_requests_total", ("path", "/predict"), ("status", "503")] == 1
    assert found["unseen_request_seconds_count", ("path", "/predict")] == 3
    assert found["unseen_request_seconds_bucket", ("le", "0.005"), ("path", "/predict")] == 2
    assert found["unseen_request_seconds_bucket", ("le", "0.075"), ("path", "/predict")] == 3


def test_sizes_of_batches_are_told():
    made = Metrics()
    made.batch(3, 9, 0.02)
    made.batch(1, 1, 0.02)
    found = read(made)
    assert found["unseen_batch_requests_sum",] == 4
    assert found["unseen_batch_inputs_bucket", ("le", "8.0")] == 1
    assert found["unseen_batch_inputs_bucket", ("le", "12.0")] == 2


def test_what_is_told_on_demand_is_asked_for_each_time():
    made, values = Metrics(), iter([1.0, 2.0])
    made.add(lambda: iter([prometheus.gauge("queued", "Requests.", next(values))]))
    assert [read(made)["unseen_queued",] for _ in range(2)] == [1, 2]


def test_two_servers_of_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.batch(1, 1, 0.1)
    assert read(other)["unseen_batch_requests_count",] == 0


def test_the_version_that_serves_is_named():
    made = Metrics()
    health = {"status": "degraded", "model": "squares", "version": 3, "problem": "lost"}
    made.add(lambda: prometheus.of_version(health))
    found = read(made)
    assert found["unseen_served_info", ("model", "squares"), ("version", "3")] == 1
    assert found["unseen_healthy",] == 0


def test_scores_alarms_and_drift_are_those_of_the_report():
    norm = Norm(reference=None, limit=None, typical=None, wanted=8, num_calibration=9, rate=0.05)
    served = filled()
    report = drift.compare(served, norm, lost=3)
    made = Metrics()
    made.add(lambda: prometheus.of_drift(report))
    found = read(made)
    version = (("model", report.model), ("version", str(report.version)))
    assert found["unseen_frames_total", *version] == report.overall.frames > 0
    assert found["unseen_alarms_total", *version] == report.overall.alarms
    assert found["unseen_uncounted_requests_total", *version] == 3
    assert found["unseen_drift_p_value", *version] == report.recent.uniformity_p_value
    assert found["unseen_alarm_rate_promised", *version] == 0.05
    assert ("unseen_drift_distance", *version) not in found
    for name, counts in (
        ("p_value", report.overall.p_values),
        ("image_score", report.overall.scores),
    ):
        bins = {
            float(dict(key[1:])["le"]): value
            for key, value in found.items()
            if key[0] == f"unseen_{name}_bucket"
        }
        assert len(bins) == BINS
        assert bins[min(bins)] == counts[0]
        assert bins[math.inf] == sum(counts) == report.overall.frames
