import pytest

from flows import card, export, history, load, promote, read
from models.errors import ConflictError, InvalidInputError, NotFoundError


def test_a_champion_is_loaded_scores_a_clip_and_has_a_history(settled):
    detector = load("squares")
    frames = read(settled.source / "test" / "cart" / "01", detector)
    assert frames.shape == (8, 16, 24)
    assert len(detector.predict(frames).image_score) == 3
    assert [each.action for each in history("squares")] == ["promote"]
    assert load("squares@1").digest == detector.digest
    assert "squares version 1 (challenger, champion)" in card("squares")


def test_what_cannot_be_is_refused_as_by_the_command(settled, tmp_path):
    with pytest.raises(ConflictError, match="serves already"):
        promote("squares", 1, "again")
    with pytest.raises(NotFoundError, match="nobody"):
        load("nobody")
    with pytest.raises(InvalidInputError, match="onnx"):
        export("squares", tmp_path / "out", "tar")
    with pytest.raises(NotFoundError, match=r"lost\.png"):
        read([tmp_path / "lost.png", settled.source / "test/cart/01/000.png"], load("squares"))
