import pytest

from models.errors import InvalidInputError
from tasks.data.limits import NAMED_FILES, Expectations, Outcome


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_train_images", 0),
        ("min_frames_per_clip", 0),
        ("tolerated_share", 1.0),
        ("intensity_tolerance", -0.1),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(InvalidInputError, match=field):
        Expectations(**{field: value})


def test_a_message_names_the_first_files_and_counts_the_rest():
    files = tuple(f"train/good/{number}.png" for number in range(9))
    outcome = Outcome(
        name="decodes",
        description="every file decodes",
        severity="critical",
        success=False,
        observed=None,
        files=files,
        num_files=9,
    )
    assert outcome.message.startswith("every file decodes: train/good/0.png")
    assert outcome.message.endswith(f"and {9 - NAMED_FILES} more")
