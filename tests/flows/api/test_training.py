import inspect
from dataclasses import fields

import pytest

from flows import fit, ingest, reproduce, retrain
from flows.adapt import adapt as adapt_flow
from flows.api.training import Adapting, Changed, Retraining
from flows.recipes.asked import Options
from flows.retrain import retrain as retrain_flow
from models.errors import InvalidInputError, NotFoundError
from tests.flows.tiny import write


def test_a_folder_is_brought_in_by_its_name(repository):
    write(repository / "incoming", num_train=2, num_test=1)
    version = ingest("incoming", "mine")
    assert (version.name, version.num_files) == ("mine", 5)
    with pytest.raises(InvalidInputError):
        ingest("incoming")


def test_its_options_are_those_of_the_flows():
    named = {"recipe", "data", "name", "dataset"}
    assert (
        named | set(Retraining.__annotations__)
        == inspect.signature(retrain_flow.fn).parameters.keys()
    )
    assert set(Changed.__annotations__) == {each.name for each in fields(Options)}
    others = {"reference", "name", "data"}
    assert (
        others | set(Adapting.__annotations__) == inspect.signature(adapt_flow.fn).parameters.keys()
    )


@pytest.mark.parametrize("call", [fit, retrain])
def test_a_recipe_that_is_not_there_is_named(workplace, call):
    with pytest.raises(NotFoundError, match="srews"):
        call("srews")


def test_what_is_not_registered_cannot_be_reproduced(repository):
    with pytest.raises(NotFoundError, match="nobody"):
        reproduce("nobody")
