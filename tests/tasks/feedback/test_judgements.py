from dataclasses import replace

import pytest

from models.errors import InvalidInputError, NotFoundError
from tasks.feedback import judgements
from tasks.feedback.judgements import Judgement, append, check, last_of, read, standing

ADA = Judgement(
    picture="a" * 64,
    prediction="r0",
    files=("a" * 64,),
    version=1,
    verdict="normal",
    who="Ada",
    when="2026-01-01T00:00:00.000+00:00",
)
BOB = replace(ADA, who="Bob", verdict="defect", kind="dent", when="2026-01-01T00:00:01.000+00:00")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def test_judgements_come_back_in_order_and_survive_a_line_that_was_cut_off(tmp_path):
    append("squares", ADA)
    with (tmp_path / ".unseen" / "judgements" / "squares.jsonl").open("a") as file:
        file.write('{"picture": "b')
    append("squares", BOB)
    assert read("squares") == (ADA, BOB)
    assert read("circles") == ()


def test_the_last_opinion_of_each_person_counts_and_two_opinions_are_a_dispute():
    found = standing([ADA, BOB])[ADA.picture]
    assert found.disputed
    assert found.opinions == (ADA, BOB)
    agreed = standing([ADA, BOB, replace(BOB, verdict="normal", kind="")])[ADA.picture]
    assert not agreed.disputed
    skipped = standing([replace(BOB, verdict="skip", kind=""), ADA])[ADA.picture]
    assert (skipped.disputed, skipped.last) == (False, ADA)


def test_undoing_brings_back_what_one_said_before_and_no_more():
    undone = replace(BOB, verdict="undone", kind="")
    assert standing([ADA, BOB, undone])[ADA.picture].opinions == (ADA,)
    assert standing([BOB, undone]) == {}
    for each in (ADA, BOB, undone):
        append("squares", each)
    assert last_of("squares", "Ada") == ADA
    with pytest.raises(NotFoundError, match="no judgement of Bob"):
        last_of("squares", "Bob")


def test_what_was_forgotten_counts_again_only_if_it_is_judged_again():
    forgotten = replace(BOB, verdict="forgotten", kind="")
    assert standing([ADA, forgotten]) == {}
    assert standing([ADA, forgotten, BOB])[ADA.picture].opinions == (BOB,)


@pytest.mark.parametrize(
    ("verdict", "kind", "sentence"),
    [
        ("fine", "", "one of normal, defect, skip"),
        ("defect", "", "kind of a defect"),
        ("defect", "../up", "kind of a defect"),
        ("defect", "good", "names normal pictures"),
        ("defect", "OK", "names normal pictures"),
    ],
)
def test_what_is_no_verdict_is_refused(verdict, kind, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        check(verdict, kind)
    assert judgements.check("defect", "dent-2") is None
