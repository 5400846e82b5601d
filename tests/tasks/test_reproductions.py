from tasks import reproductions, tracking


def test_only_finished_reports_about_this_very_model_are_found(repository):
    about = {"model_digest": "a" * 64, "verdict": "identical", "when": "2026-01-01T00:00:00"}
    with tracking.run(reproductions.KIND, "squares", tags=about, params={}) as kept:
        assert reproductions.find(tracking.client(), "squares", "a" * 64) == ()
    with tracking.run("fit", "squares", tags=about, params={}):
        pass
    (found,) = reproductions.find(tracking.client(), "squares", "a" * 64)
    assert (found.run_id, found.verdict) == (kept.info.run_id, "identical")
    assert reproductions.find(tracking.client(), "squares", "b" * 64) == ()
