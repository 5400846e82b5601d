import asyncio
import io
import json
import logging
import sys

import pytest

from tasks.platform import logs
from tasks.platform.logs import JsonFormatter, PlainFormatter, TurnHandler, log_config


def record(message="request", exc_info=None, **facts):
    made = logging.LogRecord("tasks.serving.serve", logging.INFO, "", 1, message, None, exc_info)
    if facts:
        made.facts = facts
    return made


def test_a_record_is_one_line_of_json_with_its_facts():
    line = JsonFormatter().format(record(request_id="a", status=200, seconds=0.5, version=None))
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "info",
        "logger": "tasks.serving.serve",
        "message": "request",
        "request_id": "a",
        "status": 200,
        "seconds": 0.5,
    }


def test_nobody_outside_can_forge_a_line_or_make_it_endless():
    line = JsonFormatter().format(record(path='/x\n{"level": "error"}' + "y" * 10_000))
    assert "\n" not in line
    assert len(line) < 2 * logs.LONGEST
    assert "\n" not in PlainFormatter("%(message)s").format(record(path="/x\nforged"))


def test_an_exception_stays_on_its_line():
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        line = JsonFormatter().format(record("failed", sys.exc_info()))
    assert "ZeroDivisionError: division" in json.loads(line)["exception"]
    assert "\n" not in line


@pytest.mark.parametrize(("terminal", "kind"), [(True, PlainFormatter), (False, JsonFormatter)])
def test_people_get_text_and_machines_get_json(monkeypatch, terminal, kind):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    config = log_config()
    assert config["formatters"]["default"]["()"].endswith(kind.__name__)
    assert config["loggers"]["uvicorn.access"]["handlers"] == []


class Written(io.StringIO):
    """Counts how often something was written."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def write(self, text):
        self.times += 1
        return super().write(text)


def test_lines_of_one_turn_of_the_loop_are_written_at_once_and_none_is_lost():
    handler = TurnHandler()
    handler.setStream(written := Written())

    async def turns():
        for turn in range(3):
            for number in range(10):
                handler.handle(record(f"{turn} {number}"))
            assert written.getvalue().count("\n") == 10 * turn
            await asyncio.sleep(0)
        assert written.times == 3
        handler.handle(record("the loop ends before its next turn"))

    handler.handle(record("at once"))
    assert written.getvalue() == "at once\n"
    written.seek(0)
    written.truncate()
    written.times = 0
    asyncio.run(turns())
    handler.close()
    lines = written.getvalue().splitlines()
    assert lines[:-1] == [f"{turn} {number}" for turn in range(3) for number in range(10)]
    assert lines[-1] == "the loop ends before its next turn"


def test_a_line_that_cannot_be_written_fails_nobody(capsys):
    class Closed(io.StringIO):
        def write(self, *_):
            raise BrokenPipeError

    async def one_turn(handler, made):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        handler.handle(made)
        await asyncio.sleep(0)

    faults, closed, whole = [], TurnHandler(), TurnHandler()
    closed.setStream(Closed())
    whole.setStream(io.StringIO())
    asyncio.run(one_turn(closed, record()))
    wrong = logging.LogRecord("tasks", logging.INFO, "", 1, "%d", ("no number",), None)
    asyncio.run(one_turn(whole, wrong))
    assert not faults
    assert capsys.readouterr().err.count("--- Logging error ---") == 2
