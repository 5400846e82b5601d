import pytest

from models.errors import DataError
from tasks.data.judged import Judged, parse, write

ONE = Judged(
    path="train/good/judged-aa.png",
    picture="a" * 64,
    prediction="r1",
    model="squares",
    version=2,
    verdict="normal",
    kind="",
    who="Ada",
    when="2026-01-01T00:00:00.000+00:00",
)


def test_a_note_comes_back_and_tells_each_picture_in_a_line():
    assert parse(write([ONE])) == (ONE,)
    assert ONE.told() == "normal, by Ada, 2026-01-01T00:00:00, of prediction r1"


@pytest.mark.parametrize("text", ["", "{}x", '[{"path": 1}]'])
def test_what_is_no_note_is_refused(text):
    with pytest.raises(DataError, match=r"judged\.json must be the note"):
        parse(text)
