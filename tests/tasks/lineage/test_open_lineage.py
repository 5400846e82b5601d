"""Events of real tasks of Prefect, taken by a real HTTP receiver."""

import time
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.lineage import open_lineage
from tasks.records import Decision, TrainedModel
from tests.tasks.conftest import VALIDATION, VERSION
from tests.tasks.notices.listening import receiver

TEXT, FACETS = {"type": "string"}, {"additionalProperties": {"$ref": "#/$defs/facet"}}
NAMED = {
    "required": ["namespace", "name"],
    "properties": {"namespace": TEXT, "name": TEXT, "facets": FACETS},
}
EVENT = {
    "type": "object",
    "required": ["run", "job", "eventTime", "producer", "schemaURL"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"pattern": r"^https://openlineage\.io/spec/.*#/\$defs/RunEvent$"},
        "run": {
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS},
        },
        "job": NAMED,
        "inputs": {"type": "array", "items": NAMED},
        "outputs": {"type": "array", "items": NAMED},
    },
    "$defs": {
        "facet": {
            "type": "object",
            "required": ["_producer", "_schemaURL"],
            "properties": {name: {"format": "uri"} for name in ("_producer", "_schemaURL")},
        }
    },
}
"""What the specification (openlineage.io/spec/2-0-2) asks of a run event."""


@task
def ingest():
    return VERSION


@task
def validate(version):
    return VALIDATION


@task
def fit(version):
    return TrainedModel(run_id="5" * 32, model_uri="models:/m-1", data_digest=version.digest)


@task
def promote():
    raise ValueError("It is worse.")


@flow
def story():
    version = ingest()
    validate(version)
    fit(version)
    promote()


@pytest.fixture
def told(repository, orchestrated, monkeypatch):
    """What a receiver was told of a flow run, and the id of that."""
    with receiver() as (port, events), temporary_settings({PREFECT_API_URL: orchestrated[1]}):
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{port}")
        open_lineage.observe(ingest, validate, fit, promote)
        open_lineage.observe(ingest)  # once is enough
        state = story(return_state=True)
        deadline = time.monotonic() + 60
        while len(events) < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield events, str(state.state_details.flow_run_id)


def test_each_step_begins_and_ends_once_with_what_it_read_and_made(told):
    events, flow_run_id = told
    validator = Draft202012Validator(EVENT, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for each in events:
        validator.validate(each)
        assert each["run"]["facets"]["parent"]["run"]["runId"] == flow_run_id
        assert each["job"]["facets"]["sourceCodeLocation"]["version"]
        UUID(each["run"]["runId"])
    steps = [(each["job"]["name"], each["eventType"]) for each in events]
    ends = {"ingest": "COMPLETE", "validate": "COMPLETE", "fit": "COMPLETE", "promote": "FAIL"}
    wanted = [(f"story.{n}", kind) for n, end in ends.items() for kind in ("START", end)]
    assert steps == wanted
    assert len({each["run"]["runId"] for each in events}) == 4
    [made], [read] = events[1]["outputs"], events[3]["inputs"]
    assert made["facets"] == read["facets"]
    assert made["name"] == read["name"]
    assert (made["name"], made["facets"]["version"]["datasetVersion"]) == (
        "data/squares",
        VERSION.digest,
    )
    assert "md5" in {field["name"] for field in made["facets"]["schema"]["fields"]}
    assert events[5]["outputs"][0]["name"] == "runs/" + "5" * 32
    assert "It is worse." in events[7]["run"]["facets"]["errorMessage"]["message"]


def test_a_promotion_is_a_version_of_a_model():
    values = dict.fromkeys(("action", "why", "who", "when"), "x")
    decided = Decision(**values, name="squares", version=3, champion=3, former=2)
    [(name, facets)] = open_lineage._outputs(decided)
    assert (name, facets["version"].datasetVersion) == ("models/squares", "3")


def test_without_an_address_nothing_is_observed(monkeypatch):
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)

    @task
    def other():
        return None

    open_lineage.observe(other)
    assert other.on_completion_hooks == []
