import time

from tasks.notices import outbox, receivers


def texts(number):
    return [each.text for each in outbox.due(number)]


def test_each_receiver_is_told_of_its_topics_once_and_not_too_often():
    assert outbox.put([("alarm", "squares", "nobody")]) == 0
    receivers.add("json://127.0.0.1:1", ["alarm"])
    receivers.add("json://127.0.0.1:2", ["alarm", "drift"])
    outbox.put([("alarm", "squares", "one"), ("drift", "squares", "two")])
    assert (texts(1), texts(2)) == (["one"], ["one", "two"])
    outbox.taken(1, outbox.due(1), every=60.0)
    outbox.put([("alarm", "squares", "three")])
    assert (texts(1), texts(2)) == ([], ["one", "two", "three"])  # a minute has not passed
    assert outbox.waiting() == 4
    outbox.drop(2)
    assert outbox.waiting() == 1


def test_who_takes_nothing_is_asked_later_and_later(monkeypatch):
    receivers.add("json://127.0.0.1:1", ["alarm"])
    outbox.put([("alarm", "squares", "one")])
    assert [outbox.refused(1) for _ in range(4)] == [2.0, 4.0, 8.0, 16.0]
    assert texts(1) == []
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert texts(1) == ["one"]
    outbox.taken(1, outbox.due(1), every=0.0)
    assert outbox.refused(1) == 2.0


def test_the_oldest_go_where_too_many_wait(monkeypatch, caplog):
    monkeypatch.setattr(outbox, "MOST", 3)
    receivers.add("json://127.0.0.1:1", ["alarm"])
    outbox.put([("alarm", "squares", str(number)) for number in range(5)])
    assert texts(1) == ["2", "3", "4"]
    assert "2 notices for receiver 1 are lost" in caplog.text
