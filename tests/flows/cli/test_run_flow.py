import pytest

from flows.cli.run_flow import explained, run_with_recorded_code
from models.errors import InvalidInputError, NotFoundError


def test_a_folder_cannot_be_explained(workplace, monkeypatch, orchestrated):
    monkeypatch.setenv("PREFECT_API_URL", orchestrated[1])
    with pytest.raises(InvalidInputError, match="--explain looks at the data"):
        explained("retrain", None, workplace / "incoming", None, None, None)


def test_code_of_a_version_that_is_not_there_cannot_be_used(workplace):
    with pytest.raises(NotFoundError, match="nobody"):
        run_with_recorded_code("nobody", ["reproduce", "nobody"])
