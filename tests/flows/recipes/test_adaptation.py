from flows import recipes
from flows.recipes.adaptation import adaptation
from tasks.records import DataVersion, Source, Training

VERSION = DataVersion(
    name="walkway",
    digest="d.dir",
    dvc_md5="m.dir",
    git_commit="c",
    remote=None,
    num_files=1,
    num_bytes=1,
)


def source(recipe):
    return Source(
        name="walkway",
        version=3,
        run_id="1" * 32,
        model_uri="models:/m-1",
        digest="2" * 64,
        data=VERSION,
        training=Training(window=6, image_size=(64, 96), seed=5),
        recipe=recipe,
    )


def test_what_the_source_was_made_with_still_applies():
    described = recipes.describe(recipes.digits())
    chosen = adaptation(source(described), "gate")
    assert chosen.promotion == recipes.digits().promotion
    assert chosen.expectations == recipes.digits().expectations
    assert chosen.detector == described["detector"]
    assert (chosen.name, chosen.dataset, chosen.source) == ("gate", "gate", "walkway@3")
    assert (chosen.training.seed, chosen.adapter.seed) == (5, 5)


def test_what_is_given_takes_the_place_of_the_sources():
    chosen = adaptation(source({}), "gate", device="cpu", seed=0, steps=7)
    assert (chosen.training.device, chosen.training.seed) == ("cpu", 0)
    assert (chosen.adapter.adversary.steps, chosen.adapter.seed) == (7, 0)


def test_settings_that_this_code_does_not_know_are_left_out():
    old = {"promotion": {"class": "x", "metric": "image_auroc", "patience": 3}}
    assert adaptation(source(old), "gate").promotion.metric == "image_auroc"


def test_it_is_described_as_a_recipe_is():
    described = recipes.describe(adaptation(source({"detector": {"class": "D"}}), "gate"))
    assert described["adapter"]["class"].endswith("ADDA.Config")
    assert described["detector"] == {"class": "D"}
