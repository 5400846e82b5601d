import pytest

from models.errors import RegistryError
from tasks.packaging import formats


@pytest.mark.parametrize("name", formats.CURRENT)
def test_older_and_present_formats_are_read_and_newer_ones_refused(name):
    formats.check(name, {})
    formats.check(name, {"format": formats.CURRENT[name]})
    with pytest.raises(RegistryError, match=rf"{name} .* a newer version of unseen wrote it"):
        formats.check(name, {"format": formats.CURRENT[name] + 1})


def test_a_format_that_is_no_number_is_refused():
    with pytest.raises(RegistryError, match="its format is two"):
        formats.check("lineage.json", {"format": "two"})
