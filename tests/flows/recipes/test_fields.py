import pytest

from flows import recipes
from flows.recipes.fields import assign, docs
from models.errors import InvalidInputError
from tasks.records import Training


@pytest.mark.parametrize(
    ("assignment", "read", "expected"),
    [
        ("training.batch_size=8", lambda r: r.training.batch_size, 8),
        ("training.image_size=[96, 128]", lambda r: r.training.image_size, (96, 128)),
        ("training.image_size=none", lambda r: r.training.image_size, None),
        ("training.device=cpu", lambda r: r.training.device, "cpu"),
        ("detector.shrinkage=1", lambda r: r.detector.shrinkage, 1.0),
        ("promotion.margin = 0.02", lambda r: r.promotion.margin, 0.02),
        ("expectations.anomalies=false", lambda r: r.expectations.anomalies, False),
    ],
)
def test_a_field_is_set_by_its_path(assignment, read, expected):
    found = read(assign(recipes.load("digits"), assignment))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("training.batch_size", "must be FIELD=VALUE"),
        ("training.batchsize=8", r"(?s)no field 'training.batchsize'.*batch_size"),
        ("nothing=8", r"(?s)no field 'nothing'.*training  How images become model input"),
        ("training.batch_size=many", "training.batch_size must be int, got 'many'"),
        ("training.batch_size=0", "batch_size must be at least 1"),
        ("training.batch_size.side=1", "goes too deep"),
        ("detector=knn", "--detector"),
    ],
)
def test_a_mistake_says_what_must_hold_and_what_there_is(assignment, said):
    with pytest.raises(InvalidInputError, match=said):
        assign(recipes.load("digits"), assignment)


def test_the_meaning_of_a_field_is_its_first_sentence():
    assert (
        docs(Training)["channels"]
        == "Channels of one frame: 1 (gray) or 3 (colour, still images only)"
    )
