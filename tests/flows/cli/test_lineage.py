import json

from typer.testing import CliRunner

from flows.cli.main import app
from models.errors import InvalidInputError


def unseen(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_card_is_printed_as_it_is_and_written_with_its_pictures(settled, tmp_path):
    shown = unseen("card", "squares", "--out", tmp_path / "card")
    text = (tmp_path / "card" / "card.md").read_text()
    assert shown.output == text
    assert "squares version 1 (challenger, champion)" in text
    assert json.loads(unseen("card", "squares@1", "--json").output)["card"] == text


def test_an_image_without_an_answer_is_refused(settled, tmp_path):
    found = unseen("trace", "squares", "--image", tmp_path / "a.png")
    assert isinstance(found.exception, InvalidInputError)
    assert "--prediction" in str(found.exception)
    assert json.loads(unseen("trace", "squares", "--json").output)["model"]["version"] == 1
