import asyncio
import threading
import time

import numpy as np
import pytest

from models.contracts import Scores
from models.errors import InvalidInputError
from tasks.serving.admission import BusyError
from tasks.serving.batching import LEAST_BATCH, LEAST_LIMITED, MAX_BATCH, Batcher, Job
from tests.tasks.packaging.test_detector import Brightest, packaged

WAIT = 60
SIZE = (4, 5)


class Gated(Brightest):
    """Waits to be let through, and remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.entered, self.gate, self.seen = threading.Event(), threading.Event(), []

    def forward(self, images):
        self.entered.set()
        assert self.gate.wait(WAIT)
        self.seen.append(images)
        if (images == 1).all(dim=(1, 2, 3)).any():
            raise InvalidInputError("White images are refused.")
        return super().forward(images)


@pytest.fixture
def detector():
    return Gated()


@pytest.fixture
def record():
    return []


@pytest.fixture
def batcher(detector, record):
    made = Batcher(10_000, lambda *batch: record.append(batch))
    made.start()
    yield made
    detector.gate.set()
    made.stop()


def images(num, seed=0, size=SIZE, channels=1):
    return np.random.default_rng(seed).integers(0, 255, (num, channels, *size), dtype=np.uint8)


def queue(batcher, detector, *jobs):
    """Submit jobs of which all but the first wait until it is being scored."""
    batcher.submit(jobs[0])
    assert detector.entered.wait(WAIT)
    for job in jobs[1:]:
        batcher.submit(job)
    detector.gate.set()
    return [job.answer.result(WAIT) for job in jobs]


def test_what_came_meanwhile_is_scored_together_and_nobody_gets_what_is_anothers(
    batcher, detector, record
):
    model = packaged(detector)
    jobs = [Job(packaged=model, inputs=images(num, seed=num)) for num in (1, 3, 2, 4)]
    found = queue(batcher, detector, *jobs)
    for job, raw in zip(jobs, found, strict=True):
        alone = packaged().score(job.inputs)
        assert np.array_equal(raw.image_score, alone.image_score)
        assert raw.anomaly_map is None
    assert [len(seen) for seen in detector.seen] == [1, 9]
    assert [batch[:2] for batch in record] == [(1, 1), (3, 9)]


def test_what_one_turn_of_an_event_loop_takes_on_is_one_batch(batcher, detector):
    detector.gate.set()
    model = packaged(detector)

    async def ask(seed):
        job = Job(packaged=model, inputs=images(1, seed))
        batcher.submit(job)
        return await asyncio.wrap_future(job.answer)

    async def turn(*seeds):
        return await asyncio.gather(*map(ask, seeds))

    async def turns():
        return [*await turn(0, 1, 2, 3, 4), *await turn(5)]

    found = asyncio.run(turns())
    assert [len(seen) for seen in detector.seen] == [5, 1]
    alone = [packaged().score(images(1, seed)).image_score for seed in range(6)]
    assert np.array_equal([raw.image_score for raw in found], alone)


def test_maps_come_at_the_size_that_each_asked_for(batcher, detector):
    model = packaged(detector)
    first, *jobs = [
        Job(packaged=model, inputs=images(2, seed), map_size=size)
        for seed, size in enumerate([None, (8, 10), None, SIZE])
    ]
    _, large, none, own = queue(batcher, detector, first, *jobs)
    assert none.anomaly_map is None
    np.testing.assert_allclose(own.anomaly_map, jobs[2].inputs[:, 0] / 255, rtol=1e-6)
    alone = packaged().score(jobs[0].inputs, map_size=(8, 10)).anomaly_map
    assert np.array_equal(large.anomaly_map, alone)


def test_frames_of_another_size_or_for_another_model_are_not_mixed(batcher, detector):
    model, other = packaged(detector), packaged(detector)
    jobs = [
        Job(packaged=model, inputs=images(1)),
        Job(packaged=model, inputs=images(1, size=(6, 6))),
        Job(packaged=other, inputs=images(1, 1)),
        Job(packaged=model, inputs=images(1, 2)),
        Job(packaged=model, inputs=images(1, 3, size=(6, 6))),
    ]
    found = queue(batcher, detector, *jobs)
    assert [len(seen) for seen in detector.seen] == [1, 2, 1, 1]
    for job, raw in zip(jobs, found, strict=True):
        assert raw.image_score == [job.inputs[0, 0].max() / np.float32(255)]


def test_a_long_clip_lets_others_through_and_stays_in_order(batcher, detector):
    model = packaged(detector)
    long = Job(packaged=model, inputs=images(3 * MAX_BATCH, seed=1))
    short = Job(packaged=model, inputs=images(2, seed=2))
    first = Job(packaged=model, inputs=images(1))
    order = []
    for name, job in (("long", long), ("short", short)):
        job.answer.add_done_callback(lambda _, name=name: order.append(name))
    found = queue(batcher, detector, first, long, short)
    assert order == ["short", "long"]
    assert np.array_equal(found[1].image_score, packaged().score(long.inputs).image_score)
    assert max(len(seen) for seen in detector.seen) == MAX_BATCH


def test_who_cannot_be_scored_does_not_fail_the_others(batcher, detector):
    model = packaged(detector)
    first, good = (Job(packaged=model, inputs=images(2, seed)) for seed in (0, 1))
    bad = Job(packaged=model, inputs=np.full((1, 1, *SIZE), 255, dtype=np.uint8))
    last = Job(packaged=model, inputs=images(3, 2))
    batcher.submit(first)
    assert detector.entered.wait(WAIT)
    for job in (good, bad, last):
        batcher.submit(job)
    detector.gate.set()
    with pytest.raises(InvalidInputError, match="White images"):
        bad.answer.result(WAIT)
    for job in (first, good, last):
        expected = packaged().score(job.inputs).image_score
        assert np.array_equal(job.answer.result(WAIT).image_score, expected)
    assert batcher.waiting() == (0, 0)


def test_a_detector_without_maps_fails_only_who_asks_for_one(batcher, detector):
    class Blind(Gated):
        def forward(self, images):
            return Scores(super().forward(images).image_score)

    blind = Blind()
    model = packaged(blind)
    jobs = [
        Job(packaged=model, inputs=images(1, seed), map_size=size)
        for seed, size in enumerate([None, None, SIZE, None])
    ]
    batcher.submit(jobs[0])
    assert blind.entered.wait(WAIT)
    for job in jobs[1:]:
        batcher.submit(job)
    blind.gate.set()
    with pytest.raises(InvalidInputError, match="makes no anomaly map"):
        jobs[2].answer.result(WAIT)
    for job in (jobs[0], jobs[1], jobs[3]):
        assert len(job.answer.result(WAIT).image_score) == 1


def test_frames_that_are_too_small_for_the_encoder_are_the_callers_mistake(batcher, detector):
    class Narrow(Brightest):
        def forward(self, images):  # noqa: ARG002
            raise RuntimeError("Kernel size can't be greater than actual input size")

    for size, error in (((4, 5), InvalidInputError), ((64, 64), RuntimeError)):
        job = Job(packaged=packaged(Narrow()), inputs=images(1, size=size))
        batcher.submit(job)
        with pytest.raises(error):
            job.answer.result(WAIT)


def test_no_more_waits_than_there_is_memory_for(batcher, detector):
    model = packaged(detector)
    batcher.submit(Job(packaged=model, inputs=images(1)))
    assert detector.entered.wait(WAIT)
    batcher.submit(Job(packaged=model, inputs=images(600)))  # 12,000 bytes: alone it may come
    with pytest.raises(BusyError, match="wait to be scored, 12000 bytes") as refused:
        batcher.submit(Job(packaged=model, inputs=images(1)))
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert batcher.waiting() == (1, 600)


def test_what_comes_before_a_request_is_told_in_seconds(batcher, detector):
    model = packaged(detector)
    first = Job(packaged=model, inputs=images(1))
    assert batcher.seconds_ahead(5) == 0  # nothing was scored, so nothing is known
    batcher.submit(first)
    assert detector.entered.wait(WAIT)
    time.sleep(0.2)
    detector.gate.set()
    first.answer.result(WAIT)
    detector.gate.clear()
    detector.entered.clear()
    batcher.submit(Job(packaged=model, inputs=images(1)))
    assert detector.entered.wait(WAIT)
    time.sleep(0.3)  # the present batch takes longer than was to be expected
    long = Job(packaged=model, inputs=images(3 * MAX_BATCH))
    batcher.submit(long)
    each = batcher.seconds_ahead(2) - batcher.seconds_ahead(1)
    assert each >= 0.2  # seconds: one that is being decoded
    turns = long.batch_size()  # of a long clip, since others have their turn after that
    assert batcher.seconds_ahead(1) == pytest.approx(turns * each, rel=1e-6)


def test_who_went_away_is_not_scored(batcher, detector):
    model = packaged(detector)
    first, gone, last = (Job(packaged=model, inputs=images(1, seed)) for seed in range(3))
    batcher.submit(first)
    assert detector.entered.wait(WAIT)
    batcher.submit(gone)
    batcher.submit(last)
    assert gone.answer.cancel()
    detector.gate.set()
    last.answer.result(WAIT)
    assert [len(seen) for seen in detector.seen] == [1, 1]
    assert batcher.waiting() == (0, 0)


def test_who_waits_when_the_server_stops_is_told_so(detector):
    batcher = Batcher(10_000, lambda *_: None)
    job = Job(packaged=packaged(detector), inputs=images(1))
    batcher.submit(job)
    batcher.stop()
    with pytest.raises(BusyError, match="This server stops"):
        job.answer.result(WAIT)


class Slow:
    """An engine whose images take their time."""

    outputs = ("image_score",)

    def __init__(self, seconds):
        self.seconds = seconds

    def fits(self, inputs):  # noqa: ARG002
        return True

    def __call__(self, inputs, *, features):  # noqa: ARG002
        time.sleep(self.seconds * len(inputs))
        return {"image_score": np.zeros(len(inputs), np.float32)}


@pytest.mark.parametrize(
    ("seconds", "limited", "most"),
    [(0.004, False, 6), (0.01, False, LEAST_BATCH), (0.02, True, LEAST_LIMITED)],
)
def test_a_batch_by_an_engine_is_over_soon(record, seconds, limited, most):
    detector = packaged()
    detector.program = Slow(seconds)
    batcher = Batcher(10**6, lambda *batch: record.append(batch), limited=limited)
    batcher.start()
    try:
        jobs = [Job(packaged=detector, inputs=images(1, seed)) for seed in range(24)]
        batcher.submit(jobs[0])
        jobs[0].answer.result(WAIT)
        while not record:  # it is told after the answer
            time.sleep(0.001)
        for job in jobs[1:]:
            batcher.submit(job)
        for job in jobs:
            job.answer.result(WAIT)
    finally:
        batcher.stop()
    assert 2 <= max(num for _, num, _ in record) <= most
