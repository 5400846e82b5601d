import pytest

from models.errors import InvalidInputError
from tasks.records import Training


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", 0),
        ("channels", 2),
        ("batch_size", 0),
        ("calibration_share", 0.0),
        ("calibration_share", 1.0),
        ("backbone", "resnet"),
        ("device", "tpu"),
    ],
)
def test_a_value_out_of_range_is_refused(field, value):
    with pytest.raises(InvalidInputError, match=f"{field} must be .*, got {value!r}"):
        Training(**{field: value})


def test_a_window_of_colour_frames_is_refused():
    with pytest.raises(InvalidInputError, match="made of gray frames"):
        Training(window=6, channels=3)


@pytest.mark.parametrize("size", [(0, 32), (32,), (32, -1)])
def test_an_image_size_that_is_none_is_refused(size):
    with pytest.raises(InvalidInputError, match="image_size must be"):
        Training(image_size=size)
