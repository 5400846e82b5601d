"""The door for one's own code, as somebody uses it in a notebook."""

import inspect
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest

import flows
from flows import card, fit, load, read, registered, retrain, rollback, trace, trace_file
from models.errors import NotFoundError
from tasks.registry import mlflow_store
from tests.flows.conftest import RECIPE

POOLED = RECIPE.replace(":tiny", ":pooled")


def test_a_notebook_from_a_folder_of_images_to_a_champion_and_back_to_its_bytes(
    workplace, monkeypatch
):
    monkeypatch.setenv("MPLBACKEND", "agg")
    detector = fit(POOLED, "incoming", name="stripes", seed=3)
    assert registered() == ()

    path = workplace / "incoming" / "test" / "disc" / "000.png"
    images = read(path, detector)
    found = detector.predict(images, anomaly_map=True)
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(images[0], cmap="gray")
    right.imshow(found.anomaly_map[0])
    figure.savefig(workplace / ".unseen" / "map.png")
    plt.close(figure)

    decision = retrain(POOLED, name="stripes", seed=3)
    assert (decision.action, decision.champion) == ("promote", 1)
    version = mlflow_store.client().get_model_version("stripes", "1")
    assert version.run_id == detector.lineage["run_id"]  # nothing was trained again

    champion = load("stripes")
    assert champion.digest == detector.digest
    again = champion.predict(read([path, path], champion))
    assert again.image_score == pytest.approx([found.image_score[0]] * 2, rel=1e-3)
    told = card("stripes", workplace / ".unseen" / "card")
    assert "| image_auroc | " in told
    assert {each.name for each in (workplace / ".unseen" / "card").iterdir()} == {
        "card.md",
        "thumbnails.png",
    }
    assert trace("stripes").data.version.name == "tiny"
    assert [each.model for each in trace_file(path).found] == ["stripes"]
    assert [(each.name, each.champion) for each in registered()] == [("stripes", 1)]
    with pytest.raises(NotFoundError, match="nothing to roll back to"):
        rollback("stripes", "It was only a try.")


@pytest.mark.parametrize("name", flows.__all__)
def test_every_call_says_what_it_takes_gives_and_refuses(name):
    call = getattr(flows, name)
    told = inspect.getdoc(call)
    assert told.count("\n\n") >= 1
    assert "Raises:" in told
    assert all(f"{each}:" in told for each in inspect.signature(call).parameters)
    assert "return" in call.__annotations__


def test_a_file_of_the_same_name_does_not_hide_a_call():
    import flows.retrain  # it would

    assert inspect.isfunction(flows.retrain)
    assert inspect.isfunction(retrain)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = flows.nothing


def test_its_import_brings_in_nothing_large():
    code = (
        "import sys, flows; from flows import retrain, load, trace; "
        "print(sorted({'mlflow', 'torch', 'prefect', 'pandas', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
