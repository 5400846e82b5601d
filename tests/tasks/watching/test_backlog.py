import threading

import numpy as np

from tasks.watching.backlog import Backlog, Picture

PIXELS = np.zeros((2, 2), np.uint8)


def picture(source, index):
    return Picture(source=source, request_id=f"{source}{index}", index=index, pixels=PIXELS)


def taken(backlog, most=8):
    return [each.request_id for each in backlog.take(most)]


def test_what_is_live_loses_its_oldest_and_sources_take_turns():
    backlog = Backlog(["a", "b"], most=2)
    for index in range(4):
        backlog.put(picture("a", index), live=True)
    backlog.put(picture("b", 0), live=True)
    assert backlog.dropped == {"a": 2, "b": 0}
    assert [taken(backlog, 1) for _ in range(3)] == [["a2"], ["b0"], ["a3"]]
    for name in "ab":
        backlog.end(name)
    assert taken(backlog) == []


def test_what_lies_on_a_disk_waits_for_room():
    backlog = Backlog(["a"], most=1)
    backlog.put(picture("a", 0), live=False)
    waiting = threading.Thread(target=backlog.put, args=(picture("a", 1),), kwargs={"live": False})
    waiting.start()
    assert [taken(backlog), taken(backlog)] == [["a0"], ["a1"]]
    waiting.join()
    assert backlog.dropped == {"a": 0}
    backlog.close()
    assert not backlog.put(picture("a", 2), live=False)
    assert taken(backlog) == []
