from flows.cli import listings
from tests.flows.cli.test_tables import shown


def test_recipes_are_listed_with_their_data():
    text = shown(listings.recipe_table())
    assert "walkway" in text
    assert "digits" in text
    assert {"recipe", "dataset", "what"} == set(listings.recipe_rows()[0])


def test_detectors_are_listed_with_what_they_cost():
    assert "patchcore" in shown(listings.detector_table())
    rows = {row["detector"]: row for row in listings.detector_rows()}
    assert rows["gaussian_features"]["fit_s"] > 0
    assert rows["padim"]["what"]


def test_a_cost_of_less_than_a_second_is_told(monkeypatch):
    cost = {"detectors": {"padim": {"fit_s": 0.14, "score_s": 104.3}}, "what": "here"}
    monkeypatch.setattr("flows.recipes.catalog.costs", lambda: cost)
    text = shown(listings.detector_table())
    assert "0.14 s" in text
    assert "104 s" in text


def test_data_sets_can_be_listed_before_there_are_any(workplace):
    assert "ped2" in shown(listings.dataset_table())
    assert not any(row["here"] for row in listings.dataset_rows())
