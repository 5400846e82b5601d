import pytest

from tasks.data.kinds import class_of, is_normal


@pytest.mark.parametrize(
    ("kind", "normal", "name"),
    [
        ("good", True, None),
        ("good-7", True, "7"),
        ("good-ankle-boot", True, "ankle-boot"),
        ("good-", False, None),
        ("goods-7", False, None),
        ("scratch", False, None),
        ("no-good", False, None),
    ],
)
def test_what_the_name_of_a_kind_says(kind, normal, name):
    assert is_normal(kind) is normal
    assert class_of(kind) == name
