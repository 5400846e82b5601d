"""The commands ``review``, ``absorb`` and ``forget`` of ``unseen``: thin, no logic."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.cli.output import AsJson, console, show
from models.errors import InvalidInputError

if TYPE_CHECKING:
    from tasks.feedback.absorb import Absorbed
    from tasks.feedback.inbox import Item

Name = Annotated[str, typer.Argument(help="Name of the registered model; a recipe's name.")]
KEYS = "n normal   d defect   s skip   u undo   j next   k back   q quit"


def review(
    name: Name,
    predictions: Annotated[
        list[str] | None, typer.Argument(help="With --as: ids of what is judged.")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option("--as", help="normal, skip, defect:KIND, or undo (your last).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge kept pictures: alarms, and what was closest to one, newest first.

    At a terminal, one after the other by keys: n normal, d defect, s skip, u undo, j next, k back,
    q quit. The console shows the pictures themselves ('unseen console'). 'unseen serve --keep'
    keeps them; 'unseen absorb' brings what was judged into the data.
    """
    from tasks.feedback import inbox

    if verdict == "undo":
        console.print(f"Undone: {inbox.undo(name).prediction} is in the inbox again.")
        return
    if verdict is not None:
        if not predictions:
            raise InvalidInputError(
                f"--as {verdict} must be said of predictions, and none is named. Name their ids: "
                f"unseen review {name} ID ... --as {verdict}; 'unseen review {name}' lists them."
            )
        for prediction in predictions:
            word, _, kind = verdict.partition(":")
            said = inbox.judge(name, prediction, word, kind)
            console.print(f"{said.prediction}: {said.verdict} {said.kind}".rstrip())
        return
    found = inbox.inbox(name)
    if found and sys.stdin.isatty() and not as_json:
        _by_keys(name, found)
        return
    show(lambda: _table(found), lambda: [inbox.listed(each) for each in found], as_json=as_json)


def absorb(name: Name, as_json: AsJson = False) -> None:
    """Bring judged pictures into the data as a new version, with who judged them and why.

    Normal ones go to train/good, every fifth, by its digest, to test/good; defects to test/KIND.
    Nothing is absorbed twice, and nothing that people differ about. It refuses while the model is
    retrained. 'unseen retrain' then learns from them; 'unseen forget' takes one out again.
    """
    from tasks.feedback.absorb import absorb as bring_in

    found = bring_in(name)
    if as_json:
        show(str, lambda: found, as_json=True)
        return
    if not found.pictures:
        console.print("Nothing to absorb: 'unseen review' judges what was kept.")
    else:
        _show_version(found)
    for count, told in (
        (found.known, "judged pictures were in the data before"),
        (len(found.disputed), f"are disputed, judge them again: {', '.join(found.disputed)}"),
        (len(found.lost), f"are gone, and cannot be absorbed: {', '.join(found.lost)}"),
    ):
        if count:
            console.print(f"{count} {told}.", soft_wrap=True)


def forget(
    name: Name,
    what: Annotated[str, typer.Argument(help="A file, its path in the data set, or a prediction.")],
    as_json: AsJson = False,
) -> None:
    """Take an absorbed picture out of the data again, as a new version.

    It is not absorbed again unless somebody judges it anew. Versions that learned from it stay as
    they are: the next 'unseen retrain' learns without it, and 'unseen trace --file' shows who did.
    """
    from tasks.feedback.absorb import forget as take_out

    _show_version(take_out(name, what), as_json=as_json)


def _show_version(found: "Absorbed", *, as_json: bool = False) -> None:
    from flows.cli.tables import ingest_summary
    from tasks.data.validate import look

    show(
        lambda: ingest_summary(found.version, found.changes, *look(found.version), committed=False),
        lambda: found,
        as_json=as_json,
    )


def _table(found: "Sequence[Item]") -> Table | str:
    if not found:
        return "Nothing to judge. 'unseen serve NAME --keep alarms' keeps what raises an alarm."
    table = Table("prediction", "scored (UTC)", "version", "score", "threshold", "p-value", "")
    for item in found:
        state = "disputed" if item.opinions else "alarm" if item.anomalous else "close"
        figures = (f"{item.image_score:.5g}", f"{item.threshold:.5g}", f"{item.p_value:.3g}")
        table.add_row(item.prediction, item.when[:19], str(item.version), *figures, state)
    return table


def _by_keys(name: str, found: "Sequence[Item]") -> None:
    from models.errors import UnseenError
    from tasks.feedback import inbox

    console.print(f"{len(found)} to judge.   {KEYS}")
    place = 0
    while 0 <= place < len(found):
        item = found[place]
        what = "alarm" if item.anomalous else "close to an alarm"
        console.print(
            f"{place + 1}/{len(found)}  {what}  p-value {item.p_value:.3g}  "
            f"{inbox.picture_path(name, item.files[0])}",
            soft_wrap=True,
        )
        key = typer.getchar()
        if key == "q":
            return
        try:
            place = max(place + _act(name, item.prediction, key), 0)
        except UnseenError as error:
            console.print(str(error), soft_wrap=True)


def _act(name: str, prediction: str, key: str) -> int:
    """Do what a key means; by how many pictures to go on."""
    from tasks.feedback import inbox

    verdicts = {"n": "normal", "d": "defect", "s": "skip"}
    if key == "u":
        console.print(f"Undone: {inbox.undo(name).prediction}")
        return -1
    if key in verdicts:
        kind = typer.prompt("Kind of defect", default="defect") if key == "d" else ""
        said = inbox.judge(name, prediction, verdicts[key], kind)
        console.print(f"  {said.verdict} {said.kind}".rstrip())
        return 1
    return {"j": 1, "k": -1}.get(key, 0)
