"""Judged stills come into the data of a model of stills, and out of it again."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.errors import ConflictError, NotFoundError
from tasks.data import judged, manifest, snapshots, versions
from tasks.data.ingest import ingest
from tasks.data.versions import entries
from tasks.feedback import inbox
from tasks.feedback.absorb import absorb, forget, split_of
from tasks.feedback.judgements import DEFECT, NORMAL
from tasks.lineage.trace import trace
from tasks.training.retrain_turn import turn
from tests.tasks.conftest import VERSION
from tests.tasks.feedback.scoring import scored

RANDOM = np.random.default_rng(0)


def picture(kind="PNG"):
    file = BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (16, 24), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def alarms(repository, register_detector, tmp_path):
    """A model of stills in whose inbox are ten pictures, one of them a JPEG."""
    source = tmp_path / "source"
    for folder in ("train/good", "test/good"):
        (source / folder).mkdir(parents=True)
        for number in range(4):
            (source / folder / f"{number}.png").write_bytes(picture())
    version = ingest.fn("squares", source)
    register_detector(version=replace(VERSION, **vars(version)))
    contents = [*(picture() for _ in range(9)), picture("JPEG")]
    scored("squares", *([(content, 0.01)] for content in contents))
    return contents


def held():
    return {entry.relpath: entry.md5 for entry in entries(versions.current("squares"))}


def test_judged_pictures_become_data_once_with_their_origin(alarms):
    before = held()
    for number in range(9):
        inbox.judge("squares", f"r{number}", NORMAL, who="Ada")
    inbox.judge("squares", "r9", DEFECT, "dent", who="Bob")
    found = absorb("squares")
    new = held().keys() - before.keys()
    splits = {each.prediction: each.path.split("/") for each in found.pictures}
    assert len(new) == 11  # with the note
    assert splits["r9"][:2] == ["test", "dent"]
    assert splits["r9"][2].endswith(".jpeg")
    for each in found.pictures:
        if each.verdict == NORMAL:
            assert each.path.startswith(f"{split_of(each.picture)}/good/judged-")
    assert {path.split("/")[0] for path in new} == {"train", "test", "judged.json"}
    again = absorb("squares")
    assert (again.pictures, again.version.digest) == ((), found.version.digest)
    rows = manifest.read(snapshots.open_version(found.version)).set_index("path")
    told = rows.loc["/".join(splits["r9"]), "origin"]
    assert told.startswith("defect dent, by Bob, ")
    assert told.endswith("of prediction r9")


def test_what_is_disputed_known_or_gone_is_told_and_not_absorbed(alarms):
    inbox.judge("squares", "r0", NORMAL, who="Ada")
    inbox.judge("squares", "r0", DEFECT, "dent", who="Bob")
    gone = inbox.judge("squares", "r1", NORMAL, who="Ada")
    inbox.held_path("squares", gone.picture).unlink()
    for path in (versions.folder().parent / ".unseen/kept/squares").glob(f"*/{gone.picture}"):
        path.unlink()
    scored_again = (versions.folder() / "squares/train/good/0.png").read_bytes()
    scored("squares", [(picture(), 0.01), (scored_again, 0.01)], first=10)
    inbox.judge("squares", "r10:1", NORMAL, who="Ada")
    found = absorb("squares")
    assert (found.disputed, found.lost, found.known) == (("r0",), ("r1",), 1)
    assert found.pictures == ()


def test_a_forgotten_picture_is_gone_and_stays_away(alarms, tmp_path):
    before = versions.current("squares").digest
    inbox.judge("squares", "r0", NORMAL, who="Ada")
    inbox.judge("squares", "r1", DEFECT, "dent", who="Ada")
    absorb("squares")
    with pytest.raises(NotFoundError, match="2 were absorbed"):
        forget("squares", "r7")
    copy = tmp_path / "copy.png"
    copy.write_bytes(alarms[0])
    assert [each.prediction for each in forget("squares", str(copy)).pictures] == ["r0"]
    assert [each.prediction for each in judged.of(entries(versions.current("squares")))] == ["r1"]
    assert absorb("squares").pictures == ()
    assert forget("squares", "r1").version.digest == before
    inbox.judge("squares", "r0", NORMAL, who="Ada")
    assert [each.prediction for each in absorb("squares").pictures] == ["r0"]


def test_nothing_is_absorbed_or_forgotten_while_the_model_is_retrained(alarms):
    with turn("squares"):
        for change in (lambda: absorb("squares"), lambda: forget("squares", "r0")):
            with pytest.raises(ConflictError, match="must rest while it is retrained"):
                change()


def test_nearly_the_same_go_to_one_split(alarms):
    pixels = np.kron(RANDOM.integers(0, 256, (4, 6)), np.ones((8, 8))).astype(np.uint8)
    contents = []
    for step in range(20):  # one gray level more of one pixel
        pixels[0, 0] = step
        file = BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        contents.append((file.getvalue(), 0.01))
    scored("squares", contents, first=10)
    for place in range(20):
        inbox.judge("squares", f"r10:{place}", NORMAL, who="Ada")
    assert (
        len({split_of(inbox.find("squares", f"r10:{place}").picture) for place in range(20)}) == 2
    )
    assert len({each.path.split("/")[0] for each in absorb("squares").pictures}) == 1


def test_a_trace_names_the_judged_predictions_that_shaped_a_version(settled_stills):
    assert [each.prediction for each in trace("squares").judged] == ["r0"]


@pytest.fixture
def settled_stills(alarms, register_detector, monkeypatch):
    inbox.judge("squares", "r0", NORMAL, who="Ada")
    version = absorb("squares").version
    registered, _ = register_detector(seed=1, version=version)
    files = [vars(entry) for entry in entries(version)]
    from tasks.registry import mlflow_store, version_facts

    client = mlflow_store.client()
    client.set_registered_model_alias("squares", "champion", str(registered.version))
    read = version_facts.read_json
    monkeypatch.setattr(
        version_facts,
        "read_json",
        lambda about, name: files if name == "files.json" else read(about, name),
    )
