from dataclasses import replace

import pytest

from models.errors import NotFoundError
from tasks.lineage.trace import trace
from tasks.registry import mlflow_store, model_versions
from tasks.serving.monitoring import prediction_log
from tasks.serving.trace_prediction import trace_prediction
from tests.tasks.serving.monitoring.test_prediction_log import ONE, write


@pytest.fixture
def said(settled, monkeypatch):
    monkeypatch.setattr(prediction_log, "PAUSE_SECONDS", 0.0)
    version = model_versions.resolve(mlflow_store.client(), "squares", "champion")
    made = replace(ONE, version=1, model_digest=version.tags["unseen.model_digest"])
    yield made
    prediction_log.path_of("squares").unlink(missing_ok=True)


def test_a_prediction_leads_to_the_whole_lineage_of_its_version(said):
    write(said)
    found = trace_prediction("r-1")
    assert found.prediction == said
    assert found.trace == trace("squares@1")
    assert found.notes == ()


def test_what_does_not_fit_is_said(said):
    write(said, replace(said, when="2027", model_digest="f" * 64))
    found = trace_prediction("r-1")
    assert "1 older predictions" in found.notes[0]
    assert "had the digest ffff" in found.notes[1]


def test_a_prediction_of_a_version_that_is_gone_is_still_shown(said):
    write(replace(said, version=9))
    found = trace_prediction("r-1")
    assert (found.prediction.version, found.trace) == (9, None)
    assert "no longer registered" in found.notes[0]


def test_a_prediction_that_is_not_there_is_not_traced(settled):
    with pytest.raises(NotFoundError, match="no logged prediction 'nothing'"):
        trace_prediction("nothing")
