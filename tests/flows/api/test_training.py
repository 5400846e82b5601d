import pytest

from flows import fit, ingest, reproduce, retrain
from models.errors import InvalidInputError, NotFoundError
from tests.flows.tiny import write


def test_a_folder_is_brought_in_by_its_name(repository):
    write(repository / "incoming", num_train=2, num_test=1)
    version = ingest("incoming", "mine")
    assert (version.name, version.num_files) == ("mine", 5)
    with pytest.raises(InvalidInputError):
        ingest("incoming")


@pytest.mark.parametrize("call", [fit, retrain])
def test_a_recipe_that_is_not_there_is_named(workplace, call):
    with pytest.raises(NotFoundError, match="srews"):
        call("srews")


def test_what_is_not_registered_cannot_be_reproduced(repository):
    with pytest.raises(NotFoundError, match="nobody"):
        reproduce("nobody")
