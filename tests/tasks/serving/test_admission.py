import time

import pytest

from tasks.serving.admission import Admission, BusyError, GreedyError, OverloadedError
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
    admission = Admission(Limits(wait_seconds=0.02))
    first, second = admission.waiting(), admission.waiting()
    second.begun = True
    with admission.place("gate"):
        assert admission.under_way == 1
    time.sleep(0.03)
    with pytest.raises(OverloadedError, match=r"more than 20 ms to be scored, and do, for \d+"):
        admission.place("gate", 7).__enter__()
    assert admission.under_way == 0
    assert OverloadedError.http_status == 429
    first.begun = True
    assert admission.longest_wait() == 0
    with admission.place("gate"):
        assert admission.under_way == 1
