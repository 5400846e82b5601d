import httpx
import pytest

from models.errors import InvalidInputError, NotFoundError
from tasks.registry import mlflow_store, model_versions
from tasks.serving.api_keys import PREDICT, Keys
from tasks.serving.monitoring import drift, served_statistics
from tasks.serving.monitoring.read_drift import look
from tasks.serving.monitoring.served_statistics import Identity
from tasks.serving.serve import build_app
from tests.app_server import running
from tests.tasks.serving.monitoring.test_drift import filled
from tests.tasks.serving.test_serve import FRAMES, clip, wait_for


@pytest.fixture(scope="module")
def packaged(settled):
    return model_versions.load(model_versions.resolve(mlflow_store.client(), "squares", "champion"))


def write(packaged, **changes):
    made = filled()
    values = {"name": "squares", "version": 1, "digest": packaged.digest, "rate": None}
    made.identity = Identity(**{**values, **changes})
    made.edges = drift.score_edges(packaged)
    made.save(served_statistics.path_of("squares", 1))
    return made


def test_what_a_server_wrote_down_is_read(packaged):
    made = write(packaged)
    assert look.fn("squares") == drift.compare(made, drift.norm_of(packaged, None))
    other = write(packaged, rate=0.5)
    assert look.fn("squares") == drift.compare(other, drift.norm_of(packaged, 0.5))


def test_statistics_of_another_model_are_not_read(packaged):
    write(packaged, digest="f" * 64)
    found = look.fn("squares")
    assert (found.verdict, found.version, found.overall.frames) == ("not enough yet", 1, 0)


def test_before_anything_was_served_nothing_is_said(packaged):
    served_statistics.path_of("squares", 1).unlink(missing_ok=True)
    assert look.fn("squares").verdict == "not enough yet"


def test_a_model_that_is_not_there_cannot_be_looked_at(settled):
    with pytest.raises(NotFoundError, match="no registered model 'circles'"):
        look.fn("circles")


@pytest.fixture
def url(packaged):
    """A real server of ``squares``."""
    served_statistics.path_of("squares", 1).unlink(missing_ok=True)
    with running(build_app("squares", poll_seconds=0.05)) as found:
        yield found


def test_a_server_is_asked(url):
    wait_for(lambda: httpx.get(f"{url}/health").status_code == 200 or None)
    for _ in range(2):
        assert httpx.post(f"{url}/predict", files=clip()).status_code == 200
    found = look.fn("squares", f"{url}/")
    assert (found.model, found.version, found.overall.clips) == ("squares", 1, 2)
    assert found.overall.frames == 2 * (len(FRAMES) - 5)
    with pytest.raises(InvalidInputError, match="must serve circles, and serves squares"):
        look.fn("circles", url)


def test_a_server_that_needs_a_key_is_asked_with_the_one_in_the_environment(url, monkeypatch):
    token = Keys().add("monitor", [PREDICT])
    with pytest.raises(InvalidInputError, match="401 Unauthorized"):
        look.fn("squares", url)
    monkeypatch.setenv("UNSEEN_KEY", token)
    wait_for(lambda: httpx.get(f"{url}/health").status_code == 200 or None)
    assert look.fn("squares", url).model == "squares"
    Keys().remove("monitor")


@pytest.mark.parametrize("wrong", ["http://127.0.0.1:9", "nonsense", "http://\x00"])
def test_where_no_server_answers_the_error_says_what_to_do(wrong):
    with pytest.raises(InvalidInputError, match=r"must answer at .* Check --url"):
        look.fn("squares", wrong)
