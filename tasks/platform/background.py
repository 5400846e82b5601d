"""Background processes of this repository: started, kept alive, found and stopped by name.

Each runs below a supervisor of its own (supervisord, one program), which starts it again when it
dies, later and later, and gives up when that does not help. Before each start, what an earlier one
left behind is ended, so that its ports are free.

Each name has a record and logs in ``.unseen/processes``. A record alone proves nothing after a
crash or a reboot, when its process id may be somebody else's. So every process carries the variable
``UNSEEN_PROCESS``, which its children inherit: a process is ours if it has that variable, and what
a killed process left behind is found by it too.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock

from models.errors import InvalidInputError
from tasks.platform import addresses, files, workspace

MARK = "UNSEEN_PROCESS"
"""Environment variable of a background process and of all its descendants."""
COMMAND = "UNSEEN_COMMAND"
"""Environment variable with the arguments of Python, as JSON, for what a supervisor starts."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""No background process calls home, unless the environment says otherwise."""
GRACE_SECONDS = 20.0
"""How long a process may take to end by itself, and with what it has started."""
WELL_SECONDS = 60
"""A process that lives shorter has failed to start; one that lives longer begins to count anew."""
RETRIES = 5
"""Failed starts, one after the other, until its supervisor gives up; 1, 2, 3 ... s lie between."""
SUPERVISOR = """[supervisord]
nodaemon = true
silent = true
logfile = %(here)s/{name}.supervisor.log
pidfile = %(here)s/{name}.supervisor.pid
minfds = 256

[program:{name}]
command = {command}
autorestart = true
startsecs = {well}
startretries = {retries}
stopwaitsecs = {grace}
killasgroup = true
redirect_stderr = true
stdout_logfile = NONE
"""
"""Settings of a supervisor. What is started has its own way to the log: it outlives this one."""


@dataclass(frozen=True, kw_only=True)
class Background:
    """A process that runs in the background."""

    name: str
    pid: int
    """Of its supervisor."""
    since: str
    """When it was started; UTC, ISO 8601."""
    url: str = ""
    """Where it answers, or whom it asks; empty if neither."""


def folder() -> Path:
    """Where records and logs are."""
    return workspace.home() / "processes"


def log_file(name: str) -> Path:
    """What a background process has printed."""
    return folder() / f"{name}.log"


def start(
    name: str,
    command: Sequence[str],
    *,
    url: str = "",
    environment: Mapping[str, str] | None = None,
) -> Background:
    """The process of this name, started unless it runs, and kept alive.

    It outlives the one that started it.

    Args:
        name: Letters, digits, dots and dashes.
        command: Arguments for the Python that runs this, such as ``-m module``.
        url: Where it is going to answer.
        environment: Variables beside those of the present process.
    """
    with lock(name):
        if found := find(name):
            return found
        stop(name)  # what a killed process may have left behind
        _supervisor_log(name).unlink(missing_ok=True)
        settings = folder() / f"{name}.ini"
        settings.write_text(_supervised(name))
        with log_file(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(settings)],
                cwd=workspace.root(),
                env={**_environment(name, environment or {}), COMMAND: json.dumps(list(command))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while process.poll() is None and _mark_of(psutil.Process(process.pid)) != _mark(name):
            time.sleep(0.001)  # a program that has just begun shows no variables for a moment
        since = datetime.now(UTC).isoformat(timespec="seconds")
        started = Background(name=name, pid=process.pid, since=since, url=url)
        files.write(_record(name), json.dumps(asdict(started)))
        return started


def find(name: str) -> Background | None:
    """The process of this name if it is kept alive, whether or not it answers yet."""
    try:
        found = Background(**json.loads(_record(name).read_text()))
        lives = _mark_of(psutil.Process(found.pid)) == _mark(name)
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return found if lives and not has_given_up(name) else None


def restarts(name: str) -> int:
    """How often its supervisor has started it again."""
    return max(_told(name).count(" INFO spawned: ") - 1, 0)


def has_given_up(name: str) -> bool:
    """Whether its supervisor does not start it any more, since it died too often."""
    return " INFO gave up: " in _told(name)


def stop(name: str) -> bool:
    """End the process of this name and all that it has started; whether there was any.

    The process is asked first, so that it can end its children in order; what then is left is asked
    too, and killed if it does not go.
    """
    leader = find(name)
    family = _family(name)
    for asked in ([each for each in family if leader and each.pid == leader.pid], family):
        for process in asked:
            _send(process, signal.SIGTERM)
        psutil.wait_procs(asked, timeout=GRACE_SECONDS)
    _kill(_family(name))
    with suppress(FileNotFoundError):  # its address may be exported somewhere, and stays ours
        _record(name).replace(_record(name).with_suffix(addresses.STOPPED))
    return bool(family)


def names() -> list[str]:
    """Names of all processes that were started here and not stopped, dead or alive."""
    return sorted(path.stem for path in folder().glob("*.json"))


def living() -> set[str]:
    """Names under which anything lives that was started here, even if nothing is recorded."""
    prefix = _mark("")
    found = {_mark_of(process) for process in psutil.process_iter() if process.pid != os.getpid()}
    return {mark.removeprefix(prefix) for mark in found if mark.startswith(prefix)}


def lock(name: str) -> FileLock:
    """Held while a process of this name is started; released by the system if its holder dies."""
    folder().mkdir(parents=True, exist_ok=True)
    return FileLock(folder() / f"{name}.lock", is_singleton=True)


def port(wanted: int | None, usual: int) -> int:
    """A free port of this machine: the wanted one, else the usual one, else any.

    Raises:
        InvalidInputError: If the wanted one is taken.
    """
    for candidate in (wanted or usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                probe.bind(("127.0.0.1", candidate))
            except (OSError, OverflowError) as error:
                if wanted:
                    raise InvalidInputError(
                        f"Port {wanted} must be free, got: {error}. Choose another, or none."
                    ) from error
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("Any port is better than none.")


def _environment(name: str, more: Mapping[str, str]) -> dict[str, str]:
    """Variables of a new process: ours, quiet, marked, and with the same sources as here."""
    sources = str(Path(__file__).parents[2])
    paths = [sources, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **QUIET,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        **more,
        MARK: _mark(name),
    }


def _supervised(name: str) -> str:
    program = shlex.join([sys.executable, "-m", __name__, name]).replace("%", "%%")
    times = {"well": WELL_SECONDS, "retries": RETRIES, "grace": int(GRACE_SECONDS)}
    return SUPERVISOR.format(name=name, command=program, **times)


def _record(name: str) -> Path:
    return folder() / f"{name}.json"


def _supervisor_log(name: str) -> Path:
    return folder() / f"{name}.supervisor.log"


def _told(name: str) -> str:
    """What the supervisor has told since it was started."""
    try:
        return _supervisor_log(name).read_text()
    except OSError:
        return ""


def _mark(name: str) -> str:
    return f"{workspace.home()}:{name}"


def _mark_of(process: psutil.Process) -> str:
    """Mark of a living process; empty if it has none."""
    try:
        dead = process.status() == psutil.STATUS_ZOMBIE
        return "" if dead else process.environ().get(MARK, "")
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return ""


def _family(name: str) -> list[psutil.Process]:
    """The process of this name and its descendants, wherever they have got to."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _mark_of(process) == _mark(name)
    ]


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=GRACE_SECONDS)


def main() -> None:
    """Become the background process of the name that is given, below its supervisor.

    What is left of an earlier one is ended first, since it may hold a port.
    """
    name, command = sys.argv[1], json.loads(os.environ.pop(COMMAND))
    supervisor = os.getppid()
    _kill([each for each in _family(name) if each.pid != supervisor])
    with log_file(name).open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
