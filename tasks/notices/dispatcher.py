"""Dispatcher: takes what is in the outbox to its receivers, beside all other work.

One process delivers at a time, whoever put the notices there. A receiver has ten seconds; one that
takes nothing is asked again later and later, and what happens meanwhile waits with the rest. A
message is told at least once: if a process is killed just after one was taken, twice.
"""

import atexit
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from filelock import FileLock, Timeout

from tasks.notices import outbox, receivers
from tasks.notices.outbox import Notice
from tasks.notices.receivers import Receiver
from tasks.platform import workspace

log = logging.getLogger(__name__)

SECONDS = 10.0
"""In which a receiver must take a message."""
GATHER_SECONDS, LOOK_SECONDS = 1.0, 5.0
"""Between a notice and its delivery, so that a burst is one message; between two looks."""
MOST_WAITING = 4096
"""Notices that wait to be written down."""
LISTED = 20
"""Notices of one kind that a message tells one by one."""


class Dispatcher:
    """Writes notices down and delivers them, in a thread of its own.

    Attributes:
        lost: Notices that could not be written down.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._notices: queue.Queue[tuple[str, str, str]] = queue.Queue(MOST_WAITING)
        self._ends = threading.Event()
        self._wakes = threading.Event()
        self._thread: threading.Thread | None = None
        self._complained = False

    def start(self) -> None:
        """Begin to deliver, also what earlier processes left."""
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write down what waits, try once more to deliver it, and end."""
        self._ends.set()
        self._wakes.set()
        if self._thread:
            self._thread.join(SECONDS + GATHER_SECONDS)

    def put(self, topic: str, subject: str, text: str) -> None:
        """Tell of something; returns at once, whatever the disk and receivers do."""
        try:
            self._notices.put_nowait((topic, subject, text))
        except queue.Full:
            self.lost += 1
        self._wakes.set()

    def _run(self) -> None:
        ending = False
        while not ending:
            self._wakes.wait(LOOK_SECONDS)
            ending = self._ends.wait(GATHER_SECONDS)
            self._wakes.clear()
            try:
                self._write()
                deliver()
            except Exception:  # of the disk: whatever it is, nobody else should fail for it
                if not self._complained:
                    log.warning("Notices cannot be delivered.", exc_info=True)
                self._complained = True

    def _write(self) -> None:
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._notices.get_nowait())
        if found:
            try:
                outbox.put(found)
            except Exception:
                self.lost += len(found)
                raise


_own: list[Dispatcher] = []
_starting = threading.Lock()


def tell(topic: str, subject: str, text: str) -> None:
    """Tell of something, from now on by the disk: it is delivered even if this process ends.

    Whatever goes wrong is logged, and fails nothing else.

    Args:
        topic: One of ``receivers.TOPICS``.
        subject: Name of the model or data set.
        text: What happened, in a sentence.
    """
    try:
        kept = outbox.put([(topic, subject, text)])
    except Exception:
        log.warning("Nobody could be told of: %s", text, exc_info=True)
        return
    if kept:
        with _starting:
            if not _own:
                _own.append(Dispatcher())
                _own[0].start()
                atexit.register(_own[0].stop)
        _own[0]._wakes.set()  # noqa: SLF001 - its own


def deliver() -> int:
    """Tell every receiver what is due, all at the same time; how many notices were taken."""
    waiting = [(each, found) for each in receivers.read() if (found := outbox.due(each.number))]
    if not waiting:
        return 0
    try:
        with FileLock(workspace.home() / "notices.delivery.lock", timeout=0):
            return _deliver()
    except Timeout:  # another process is at it
        return 0


def _deliver() -> int:
    waiting = [(each, found) for each in receivers.read() if (found := outbox.due(each.number))]
    took: set[int] = set()

    def one(each: Receiver, found: Sequence[Notice]) -> None:
        if send(each, found):
            took.add(each.number)

    threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in waiting]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    count = 0
    for each, found in waiting:
        if each.number in took:
            outbox.taken(each.number, found, each.every)
            count += len(found)
        else:
            pause = outbox.refused(each.number)
            log.warning("%s took no message; it is asked again in %.0f s.", each.called, pause)
    return count


def send(receiver: Receiver, notices: Sequence[Notice]) -> bool:
    """Whether a receiver took a message that tells of all these."""
    logging.getLogger("apprise").disabled = True  # it tells addresses, which hold secrets
    from apprise import Apprise

    title, body = message(notices)
    try:
        service = Apprise()
        return bool(service.add(receiver.url) and service.notify(body=body, title=title))
    except Exception as error:
        log.warning("%s: %s", receiver.called, type(error).__name__)
        return False


def message(notices: Sequence[Notice]) -> tuple[str, str]:
    """Title and text of one message about several notices."""
    groups: dict[tuple[str, str], list[Notice]] = defaultdict(list)
    for each in notices:
        groups[each.topic, each.subject].append(each)
    title = ", ".join(
        f"{subject}: {topic}{f' ({len(found)})' if len(found) > 1 else ''}"
        for (topic, subject), found in groups.items()
    )
    lines = []
    for found in groups.values():
        lines += [f"{each.at[:19]} {each.text}" for each in found[:LISTED]]
        if more := len(found) - LISTED:
            lines += [f"and {more} more until {found[-1].at[:19]}"] if more > 0 else []
    return f"unseen: {title}", "\n".join(lines)
