import hashlib

import pytest
from fastapi.testclient import TestClient

from models.errors import InvalidInputError
from tasks.serving import kept_pictures
from tasks.serving.account import Account
from tasks.serving.kept_pictures import Keep
from tasks.serving.monitoring import prediction_log
from tasks.serving.serve import build_app
from tests.tasks.serving.test_serve import FRAMES, clip, encode, parts, wait_for


def test_pictures_are_not_kept_without_the_predictions_they_got(tmp_path):
    with pytest.raises(InvalidInputError, match="--no-log-predictions"):
        Account("squares", log_predictions=False, keep=Keep(policy="all"))
    assert Account("squares", log_predictions=False, keep=Keep()).pictures is None


def test_a_server_keeps_what_raised_an_alarm_beside_its_prediction(settled):
    with TestClient(build_app("squares", keep=Keep(policy="alarms"))) as session:
        wait_for(lambda: session.get("/health").is_success or None)
        said = session.post("/predict", files=clip()).json()
        assert any(frame["anomalous"] for frame in said["frames"])
        learned = sorted((settled.source / "train" / "good" / "01").iterdir())
        quiet = session.post("/predict", files=parts(*(f.read_bytes() for f in learned))).json()
        assert not any(frame["anomalous"] for frame in quiet["frames"])
    [logged] = prediction_log.find(said["request_id"])
    assert logged.is_clip
    digests = [hashlib.sha256(encode(frame)).hexdigest() for frame in FRAMES]
    assert list(logged.files) == digests
    assert kept_pictures.kept("squares") == set(digests)
    assert len(list(prediction_log.newest("squares", 10))) == 2
