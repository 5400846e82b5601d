"""The served interface is as it describes itself, whatever is sent to it."""

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tasks.serving.serve import build_app
from tasks.serving.uploads import Limits
from tests.tasks.serving.test_serve import wait_for

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 15
"""Of each address."""
PUBLIC = {"/health"}


@pytest.fixture(scope="module")
def app(settled):
    app = build_app("squares", limits=Limits(body_bytes=2**16, num_files=20), poll_seconds=0.05)
    with TestClient(app) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        yield app
        asgi.shutdown_lifespans()  # its plugin would, whose import takes seconds of every run


def test_every_answer_is_as_described(app):
    described = schemathesis.openapi.from_asgi("/openapi.json", app)  # it starts the app once more
    answered = set()
    for found in described.get_all_operations():

        @given(case=found.ok().as_strategy())
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        def answers(case):
            case.call_and_validate(checks=CHECKS)  # raises what the answer breaks
            answered.add(case.path)

        answers()
    assert answered == app.openapi()["paths"].keys()


def test_every_address_but_the_public_ones_names_the_keys_it_takes(app):
    told = app.openapi()
    for path, methods in told["paths"].items():
        for described in methods.values():
            assert bool(described.get("security")) == (path not in PUBLIC), path
            assert described["responses"].keys() >= {"200", "403", "413", "421", "500"}
    schemes = told["components"]["securitySchemes"].values()
    assert {each["type"] for each in schemes} == {"http", "apiKey"}
