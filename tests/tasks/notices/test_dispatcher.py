import time

from tasks.notices import dispatcher, outbox, receivers
from tasks.notices.dispatcher import Dispatcher, deliver, message
from tests.servers import free_port
from tests.tasks.notices.listening import receiver


def wait_for(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_burst_is_one_message_and_each_notice_is_told_once():
    with receiver() as (port, told):
        receivers.add(f"json://127.0.0.1:{port}", ["alarm", "drift"], 0.0)
        running = Dispatcher()
        running.start()
        for number in range(5):
            running.put("alarm", "squares", f"alarm {number}.")
        running.put("drift", "squares", "drift.")
        running.put("failed", "squares", "of no interest.")
        wait_for(lambda: told)
        running.stop()
    assert len(told) == 1
    assert told[0]["title"] == "unseen: squares: alarm (5), squares: drift"
    for text in (*(f"alarm {number}." for number in range(5)), "drift."):
        assert told[0]["message"].count(text) == 1
    assert "interest" not in told[0]["message"]
    assert outbox.waiting() == 0


def test_nothing_is_lost_while_a_receiver_is_down(monkeypatch, caplog):
    port = free_port()
    receivers.add(f"json://ada:secret@127.0.0.1:{port}", ["alarm"], 0.0)
    outbox.put([("alarm", "squares", "before.")])
    assert deliver() == 0
    outbox.put([("alarm", "squares", "meanwhile.")])
    assert deliver() == 0  # it is not asked at once again
    with receiver(port) as (_, told):
        monkeypatch.setattr(time, "time", lambda now=time.time: now() + 3600)
        assert deliver() == 2
        assert deliver() == 0
    assert len(told) == 1
    assert told[0]["message"].count("before.") == told[0]["message"].count("meanwhile.") == 1
    assert "receiver 1 (json) took no message" in caplog.text
    assert "secret" not in caplog.text


def test_a_receiver_that_hangs_holds_up_neither_the_others_nor_who_tells(monkeypatch):
    monkeypatch.setattr(dispatcher, "SECONDS", 1.0)
    with receiver(hang=3.0) as (slow, _), receiver() as (quick, told):
        for port in (slow, quick):
            receivers.add(f"json://127.0.0.1:{port}", ["alarm"], 0.0)
        running = Dispatcher()
        running.start()
        started = time.monotonic()
        running.put("alarm", "squares", "fire.")
        assert time.monotonic() - started < 0.5
        wait_for(lambda: told)
        wait_for(lambda: outbox.waiting() == 1)
        running.stop()


def test_what_one_process_could_not_tell_the_next_one_does(caplog):
    with receiver() as (port, told):
        receivers.add(f"json://127.0.0.1:{port}", ["promotion"], 0.0)
        dispatcher.tell("promotion", "squares", "Version 2 serves.")
        wait_for(lambda: told)
    assert "Version 2 serves." in told[0]["message"]
    dispatcher.tell("alarm", "squares", "Nobody wants to know.")
    assert outbox.waiting() == 0


def test_a_long_burst_is_told_in_few_lines():
    made = [
        outbox.Notice(number=n, topic="alarm", subject="a", text=f"t{n}", at="2026-01-01T00:00:00")
        for n in range(50)
    ]
    title, body = message(made)
    assert title == "unseen: a: alarm (50)"
    assert body.splitlines()[-1] == "and 30 more until 2026-01-01T00:00:00"
