from models.one_class.knn import NearestNeighbours
from models.pretext.jigsaw import Jigsaw
from tasks.platform.step_names import named
from tasks.records import DataVersion, ModelVersion, TrainedModel

DATA = DataVersion(
    name="cookies",
    digest="0123456789abcdef0123456789abcdef.dir",
    dvc_md5="f" * 32,
    git_commit="1" * 40,
    remote=None,
    num_files=3,
    num_bytes=300,
)


def test_a_step_is_named_by_method_and_data():
    name = named("fit {detector} on {version}")
    parameters = {"detector": NearestNeighbours.Config(), "version": DATA, "seed": 1}
    assert name(parameters) == "fit NearestNeighbours on cookies 01234567"
    pretext = named("pretrain {pretext}")
    assert pretext({"pretext": Jigsaw.Config()}) == "pretrain Jigsaw"
    assert pretext({"pretext": None}) == "pretrain nothing"


def test_a_step_is_named_by_version_or_run():
    version = ModelVersion(name="cookies", version=4, alias="", run_id="2" * 32)
    trained = TrainedModel(run_id="3" * 32, model_uri="models:/m-1", data_digest=DATA.digest)
    assert named("promote {challenger}")({"challenger": version}) == "promote cookies 4"
    assert named("evaluate {detector}")({"detector": trained}) == "evaluate run 33333333"
    assert named("look at {name}")({"name": "cookies"}) == "look at cookies"
