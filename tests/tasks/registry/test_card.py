import json

import pytest

from tasks.registry import card, history, mlflow_store, model_versions, version_facts
from tasks.registry.decisions import appoint, rollback
from tasks.registry.tags import DRIFT

SECTIONS = (
    "Purpose",
    "Data",
    "Method",
    "Figures on the test split",
    "Thresholds",
    "Limits",
    "Drift",
    "Decisions",
    "Reproduce",
)


@pytest.fixture
def store(repository):
    return mlflow_store.client()


def description(store, number):
    return store.get_model_version("squares", str(number)).description


def test_a_version_is_described_when_it_is_registered_and_its_run_keeps_the_card(
    store, register_detector
):
    made, _ = register_detector(metric=0.875)
    told = description(store, 1)
    assert told.startswith("Detector on squares 01234567 (3 files), trained 20")
    assert [line[3:] for line in told.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert "**squares version 1 (challenger)**" in told
    assert "| frame_auc | 0.875 |" in told
    assert "expectations: 9 of 9 met" in told
    assert "None yet." in told
    assert "Adapted from" not in told
    kept = version_facts.run_artifact(store, made.run_id, card.FILE)
    assert kept.read_text() == told


def test_every_decision_is_told_by_the_cards_of_all_that_it_is_about(store, register_detector):
    for seed in (1, 2):
        register_detector(seed=seed)
    appoint("squares", 1, "The first one.")
    appoint("squares", 2, "It sees carts.")
    assert "**squares version 1 (former-champion)**" in description(store, 1)
    assert "It sees carts. (serves: 2)" in description(store, 1)
    assert "**squares version 2 (challenger, champion)**" in description(store, 2)
    rollback("squares", "It sees too many.")
    assert "(champion)" in description(store, 1)
    assert "rollback 2 by " in description(store, 2)
    assert "It sees too many. (serves: 1)" in description(store, 2)


def test_intervals_drift_and_notes_come_from_the_record(store, register_detector):
    made, _ = register_detector()
    put = {"metric.frame_auc_low": "0.8", "metric.frame_auc_high": "0.95"}
    for key, value in put.items():
        store.set_model_version_tag("squares", "1", f"unseen.{key}", value)
    told = {"verdict": "drift", "why": "far away", "run_id": "r", "when": history.now()}
    store.set_model_version_tag("squares", "1", DRIFT, json.dumps(told))
    store.set_tag(made.run_id, "unseen.evaluation_notes", "No masks.")
    store.log_metric(made.run_id, "calibration.num_clips", 12)
    text = card.write(store, model_versions.version(store, "squares", 1))
    assert "| 0.800 to 0.950 |" in text
    assert "far away" in text
    assert "- No masks." in text
    assert "- 12: normal clips" in text


def test_it_can_be_saved_where_the_model_and_its_pictures_are_lost(
    store, register_detector, tmp_path
):
    made, _ = register_detector()
    store.delete_run(made.run_id)
    version = model_versions.version(store, "squares", 1)
    text = card.save(store, version, tmp_path / "card")
    assert (tmp_path / "card" / "card.md").read_text() == text
    assert "squares version 1" in text


def test_a_card_that_cannot_be_written_is_told_and_stops_nobody(store, caplog):
    card.refresh(store, "nobody", None)
    assert "The card of nobody could not be written anew" in caplog.text


def test_a_description_is_no_longer_than_every_database_takes():
    text = card.shortened("line\n" * 2000)
    assert len(text) <= card.LONGEST
    assert text.endswith("'unseen card' shows the rest.\n")
    assert card.shortened("short") == "short"
