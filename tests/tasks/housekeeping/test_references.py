from tasks.data import versions
from tasks.housekeeping import references
from tasks.housekeeping.references import References
from tasks.registry import mlflow_store


def test_ids_of_every_kind_are_found_in_any_text():
    found = References()
    run, model, flow = "a" * 32, "m-" + "b" * 32, "0a1b2c3d-1111-2222-3333-444455556666"
    listing = "c" * 32 + ".dir"
    found.add({"x": [f"runs:/{run}/encoder", f"models:/{model}"], "y": flow}, "walkway 1")
    found.add(f"data {listing}", "walkway 2")
    assert dict(found.ids) == {run: {"walkway 1"}, model: {"walkway 1"}, flow: {"walkway 1"}}
    assert dict(found.md5s) == {listing: {"walkway 2"}}


def test_a_registered_version_refers_to_its_runs_its_model_and_its_bytes(settled):
    found = references.gather(mlflow_store.client())
    version = mlflow_store.client().get_model_version("squares", "1")
    tags = version.tags
    wanted = {version.run_id, tags["unseen.pretext_run_id"], version.source.split("/")[-1]}
    assert wanted <= found.ids.keys()
    assert all("squares 1" in found.ids[each] for each in wanted)
    listed = {each.md5 for each in versions.entries(settled.clips)}
    assert listed | {settled.clips.dvc_md5, settled.clips.digest} <= found.md5s.keys()
    assert set().union(*found.md5s.values()) == {"squares 1"}
    assert found.digests[tags["unseen.model_digest"]] == "squares 1"
    assert found.notes == []
