import asyncio
import time

import pytest

from tasks.serving.admission import Admission, BusyError, GreedyError, OverloadedError, Turns
from tasks.serving.uploads import Limits


def test_one_client_cannot_have_all_places_and_others_get_the_rest():
    admission = Admission(Limits(waiting=3, waiting_each=2))
    with admission.place("a"), admission.place("a"):
        with pytest.raises(GreedyError, match="2 requests of one client") as greedy:
            admission.place("a", retry_after=7).__enter__()
        assert (greedy.value.http_status, greedy.value.headers) == (429, {"Retry-After": "7"})
        with admission.place("b"):
            assert admission.under_way == 3
            with pytest.raises(BusyError, match="takes 3 requests") as busy:
                admission.place("c").__enter__()
            assert (busy.value.http_status, busy.value.headers) == (503, {"Retry-After": "1"})
    assert admission.under_way == 0


def test_a_request_that_fails_gives_its_place_back():
    admission = Admission(Limits(waiting=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.place("a"):
            raise ZeroDivisionError
    assert admission.under_way == 0


def test_who_would_wait_for_too_long_is_turned_away_until_somebody_begins():
    async def ask():
        admission = Admission(Limits(wait_seconds=0.2))
        first, second = admission.arrived(nobody), admission.arrived(nobody)
        second.begun = True
        await asyncio.sleep(0.3)
        with pytest.raises(OverloadedError, match=r"more than 200 ms, and this one would, for"):
            admission.arrived(nobody)
        first.begun = True
        assert admission.longest_wait() == 0
        admission.arrived(nobody)

    asyncio.run(ask())
    assert OverloadedError.http_status == 429


def test_what_is_not_scored_yet_is_waited_for():
    async def ask():
        admission, asked = Admission(Limits(wait_seconds=2.0)), []
        for _ in range(3):
            admission.arrived(lambda ahead: asked.append(ahead) or 0.9 * ahead)
        with pytest.raises(OverloadedError) as refused:
            admission.arrived(lambda ahead: 0.9 * ahead, 7)
        assert refused.value.headers == {"Retry-After": "7"}
        assert asked == [0, 1, 2]

    asyncio.run(ask())


def test_a_busy_event_loop_is_waited_for_twice_and_a_former_one_is_not():
    async def ask():
        turns = Turns()
        assert turns.seconds() == 0
        time.sleep(0.05)
        assert turns.seconds() >= 0.05
        await asyncio.sleep(0)
        assert turns.seconds() >= 0.05  # of the turn before
        await asyncio.sleep(0.2)
        assert turns.seconds() == 0
        admission = Admission(Limits(wait_seconds=0.1))
        admission.arrived(nobody)
        time.sleep(0.06)
        with pytest.raises(OverloadedError):
            admission.arrived(nobody)

    asyncio.run(ask())


def test_without_a_limit_nobody_is_turned_away():
    admission = Admission(Limits())
    entered = [admission.arrived(lambda _: 1e9) for _ in range(3)]
    assert not any(each.begun for each in entered)
    assert admission.longest_wait() == pytest.approx(time.monotonic() - entered[0].since, abs=1.0)


def nobody(_: int) -> float:
    return 0.0
