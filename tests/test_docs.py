"""The documentation: its commands exist, its links lead somewhere, and its first page runs."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from docs import hooks
from flows.cli.main import app
from tests.conftest import make_repository
from tests.processes import output_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(unseen [^`]+)`")
COMMAND = typer.main.get_command(app)
INCOMPLETE = re.compile("Missing|.* requires an argument")
"""What is said of a call that leaves something out."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def prompted(block):
    """What stands behind the prompts of a block; a line that ends in a backslash goes on."""
    joined = block.replace("\\\n", " ")
    return [line.strip()[2:] for line in joined.splitlines() if line.strip().startswith("$ ")]


def calls(line):
    """Arguments of every ``unseen`` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += "@:=,{}[]"
    commands = [[]]
    for word in lexer:
        if re.fullmatch(r"[|&;<>()]+", word):
            commands.append([])
        elif commands[-1] or "=" not in word:  # what is set before a command is none of it
            commands[-1].append(word)
    return [words[1:] for words in commands if words[:1] == ["unseen"]]


def complaint(arguments):
    """What the command line says of a call, without running it; empty if it would run."""
    command, context, rest = COMMAND, None, list(arguments)
    try:
        while True:
            context = command.make_context(command.name, rest, parent=context)
            if not hasattr(command, "resolve_command"):
                return ""
            _, command, rest = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
    except typer.BadParameter.__base__ as error:
        return error.format_message()


def test_a_wrong_call_is_noticed():
    assert not complaint(["retrain", "--name", "x", "--set", "a=b"])
    assert complaint(["retrain", "--nmae", "x"])
    assert complaint(["retrian"])
    assert complaint(["keys", "ad", "x"])
    assert INCOMPLETE.match(complaint(["serve"]))
    assert calls("A=b unseen recipe show b > c && unseen up # d") == [
        ["recipe", "show", "b"],
        ["up"],
    ]


@each_page
def test_every_command_of_a_page_exists(page):
    text = page.read_text()
    lines = [line for _, block in BLOCK.findall(text) for line in prompted(block)]
    wrong = {line: said for line in lines for each in calls(line) if (said := complaint(each))}
    assert not wrong


@each_page
def test_what_a_page_calls_a_command_is_one(page):
    named = set(INLINE.findall(BLOCK.sub("", page.read_text())))
    plain = {each: re.sub(r"[\[\]]|\|\S*", "", each) for each in named}  # [optional], this|that
    said = {each: complaint(calls(plain[each])[0]) for each in named}
    assert not {each: why for each, why in said.items() if why and not INCOMPLETE.match(why)}


@each_page
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = {each.partition("#")[0] for each in re.findall(r"\]\(([^)\s]+)\)", text)}
    inside = {each for each in targets if each and "://" not in each}
    generated = {str(Path("docs") / each) for each in hooks.GENERATED}
    broken = {
        each
        for each in inside
        if not (path := page.parent / each).exists()
        and os.path.relpath(path.resolve(), ROOT) not in generated
    }
    assert not broken


@each_page
def test_what_a_page_asks_of_the_results_is_there(page):
    for kind, wanted in hooks.COMMENT.findall(page.read_text()):
        assert getattr(hooks, {"methods": "table_of_methods"}.get(kind, kind))(wanted)


def test_every_method_has_a_page():
    described = {page.stem for page in (ROOT / "docs" / "methods").glob("*.md")} - {"index"}
    assert described == {name for family in hooks.FAMILIES for name in hooks.methods(family)}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180


def cloth(random):
    """A woven cloth under light that falls on it from anywhere: no two pictures are alike."""
    weave = np.indices((64, 64)).sum(axis=0) % 4 * 12.0
    light = cv2.resize(random.uniform(60, 190, (4, 4)), (64, 64), interpolation=cv2.INTER_CUBIC)
    gray = (weave + light + random.normal(0, 3, (64, 64))).clip(0, 255).astype("uint8")
    return cv2.merge([gray, gray // 2, 255 - gray])


@pytest.fixture
def repository_with_photographs(tmp_path, empty_store):
    """A repository with two dozen photographs that nobody has versioned, and an empty store."""
    folder = make_repository(tmp_path / "mine")
    good = folder / "photographs"
    good.mkdir(parents=True)
    for number in range(24):
        cv2.imwrite(str(good / f"{number:02}.png"), cloth(np.random.default_rng(number)))
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    return folder


def test_the_first_page_runs(repository_with_photographs, orchestrated):
    page = (ROOT / "docs" / "start" / "own-folder.md").read_text()
    [block] = re.findall(r"<!-- test: run -->\n```console\n(.*?)```", page, re.DOTALL)
    ours = f'unseen() {{ {shlex.quote(sys.executable)} -m flows.cli "$@"; }}'
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(repository_with_photographs),
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": orchestrated[1],
        "PREFECT_HOME": str(repository_with_photographs / ".unseen" / "prefect"),
        "UNSEEN_PROGRAMS": "none",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "120",
    }
    script = "\n".join([ours, *prompted(block)])
    said = output_of(["bash", "-euc", script], cwd=repository_with_photographs, env=environment)
    assert "bottles version 1" in said
    assert "data.dvc" in {each.name for each in repository_with_photographs.iterdir()}
