"""What people do with git, DVC and MLflow themselves, and what machines do to them, as scenarios.

Each step is one command, after which everything is looked at as after a kill. A command may refuse
in one sentence; it may never show a traceback, lose something, or undo what a person has done.
"""

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import _crash_checks as checks
from benchmarks._crash_rounds import Campaign, any_other, retrain, versions_of
from benchmarks._crash_workplace import MODEL, End, changed

SMALL = 24_000
"""Bytes of the largest file that may be written where the disk counts as full."""
DEAD = "http://127.0.0.1:9"
"""Where nobody answers."""


def scenarios(campaign: Campaign, seed: int) -> None:
    """All of them, one after the other, on data of this seed."""
    for scenario in (
        git_refuses,
        pulled_between,
        decisions_of_people,
        deleted_versions,
        lost_cache,
        moved_folder,
        full_disk,
        no_network,
        exported_addresses,
    ):
        print(f" {scenario.__name__}", flush=True)
        scenario(campaign, seed)


def git_refuses(campaign: Campaign, seed: int) -> None:
    """A repository that git does not trust, and a machine without git: nothing changes."""
    new = str(changed(campaign.place.top / "incoming", campaign.place.folder / "new", 100 + seed))
    refused = (
        retrain(seed, "--data", new),
        ("ingest", new, "--as", "tiny", "--commit"),
        ("prune", "--delete", "--keep-days", "1"),
        ("backup", str(campaign.place.folder / "backup")),
    )
    for command in refused:
        foreign = _environment(GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
        _refused(campaign, command, "dubious ownership", foreign)
    for command in refused[:3]:
        _refused(campaign, command, "git must be on PATH", _environment(PATH="/nowhere"))


def pulled_between(campaign: Campaign, seed: int) -> None:
    """``data.dvc`` comes from git; edits of nobody are asked about and nothing goes backwards."""
    known = []
    for number in (200, 300):
        new = changed(campaign.place.top / "incoming", campaign.place.folder / "new", number + seed)
        step(campaign, "ingest", str(new), "--as", "tiny", "--commit")
        known.append(campaign.state.data_md5)
    _git(campaign, "checkout", "-q", "HEAD~1", "--", "data.dvc")
    step(campaign, *retrain(seed))
    _expect(campaign, campaign.state.data_md5 == known[0], "data.dvc was changed by a retrain")
    _git(campaign, "checkout", "-q", "HEAD", "--", "data.dvc")
    step(campaign, "ingest", "tiny")
    _expect(campaign, campaign.state.data_md5 == known[1], "data.dvc was not taken from git")
    edited = next((campaign.place.top / "data" / "tiny" / "train" / "good").glob("*.png"))
    edited.unlink()
    _git(campaign, "checkout", "-q", "HEAD~1", "--", "data.dvc")
    _refused(campaign, retrain(seed), "--discard")
    step(campaign, "ingest", "tiny", "--discard")
    _git(campaign, "checkout", "-q", "HEAD", "--", "data.dvc")
    step(campaign, "ingest", "tiny")


def decisions_of_people(campaign: Campaign, seed: int) -> None:
    """An unchanged retrain undoes no promotion, no alias set in MLflow, and no rollback."""
    step(campaign, *retrain(seed))
    chance = np.random.default_rng(seed)
    chosen = any_other(campaign, chance)
    step(campaign, "promote", MODEL, str(chosen), "--why", "By hand.")
    _unchanged(campaign, seed, chosen)
    chosen = any_other(campaign, chance)
    campaign.place.call(functools.partial(_set_champion, chosen))
    step(campaign, "models", whole=False)
    _unchanged(campaign, seed, chosen)
    step(campaign, "rollback", MODEL, "--why", "By hand.", allowed=(0, 4))
    _unchanged(campaign, seed, _champion(campaign))


def deleted_versions(campaign: Campaign, seed: int) -> None:
    """The champion's version is deleted in MLflow: all commands work, and a person rolls back."""
    gone = _champion(campaign)
    deleted = campaign.place.call(functools.partial(_delete_version, gone))
    _expect(campaign, deleted.code == 0, f"version {gone} was not deleted: {deleted.output}")
    campaign.state = checks.read(campaign.place.top)
    other = f"{MODEL}@{any_other(campaign, np.random.default_rng(seed))}"
    for command in (("models",), ("history", MODEL), ("trace", other), ("status",)):
        step(campaign, *command, allowed=(0, 1) if command == ("status",) else (0,), whole=False)
    _refused(campaign, ("trace", MODEL), "has no version or alias 'champion'")
    step(campaign, "rollback", MODEL, "--why", "Its version was deleted.", whole=False)
    now = _champion(campaign)
    _expect(campaign, (MODEL, now) in campaign.state.versions, f"version {now} serves, and is gone")
    step(campaign, *retrain(seed))
    step(campaign, "models")


def lost_cache(campaign: Campaign, seed: int) -> None:
    """DVC's cache is lost: the files that are there mend it; the lost versions are told."""
    cache, kept = campaign.place.top / ".dvc" / "cache", campaign.place.folder / "kept"
    step(campaign, "ingest", "tiny")
    before = campaign.state.data_md5
    cache.rename(kept)
    campaign.state = checks.read(campaign.place.top)
    step(campaign, "ingest", "tiny")
    _expect(campaign, campaign.state.data_md5 == before, "data.dvc changed with the cache lost")
    step(campaign, "trace", MODEL)
    shutil.copytree(kept, cache, dirs_exist_ok=True, copy_function=_copy_missing)
    shutil.rmtree(kept)
    step(campaign, *retrain(seed))


def moved_folder(campaign: Campaign, seed: int) -> None:
    """The workplace is moved and moved back: results are reused, nothing is written outside."""
    place, known = campaign.place, versions_of(campaign)
    here, there = place.top, place.folder / f"moved Größe {seed}"
    for source, target in ((here, there), (there, here)):
        place.move(source, target)
        step(campaign, "models", whole=False)
        step(campaign, *retrain(seed))
        step(campaign, "trace", MODEL)
        _expect(campaign, not source.exists(), f"{source} was made again")
    _expect(campaign, versions_of(campaign) == known, "an unchanged retrain made a version")


def full_disk(campaign: Campaign, seed: int) -> None:
    """No file can grow: each command says so, and works once there is room."""
    new = str(changed(campaign.place.top / "incoming", campaign.place.folder / "new", 400 + seed))
    for command in (retrain(seed + 1000), ("ingest", new, "--as", "other")):
        end = step(campaign, *command, prepared=_limit_files, allowed=(0, 1, 2, 3), whole=False)
        _expect(campaign, "error:" in end.output or not end.code, f"silent: {end.output[-500:]}")
        step(campaign, *command)


def no_network(campaign: Campaign, seed: int) -> None:
    """A dead tracking server, a dead remote of DVC, a dead proxy."""
    dead = _environment(MLFLOW_TRACKING_URI=DEAD)
    for command in (("models",), ("history", MODEL), ("trace", MODEL), retrain(seed)):
        _refused(campaign, command, "MLflow must answer", dead)
    new = str(changed(campaign.place.top / "incoming", campaign.place.folder / "new", 500 + seed))
    with _remote(campaign):
        step(campaign, "ingest", new, "--as", "tiny")
        _refused(campaign, ("ingest", "tiny", "--push"), "remote")
        step(campaign, "trace", MODEL)
        step(campaign, *retrain(seed))
    proxy = _environment(http_proxy=DEAD, https_proxy=DEAD, HTTP_PROXY=DEAD, HTTPS_PROXY=DEAD)
    step(campaign, *retrain(seed), prepared=proxy)


def exported_addresses(campaign: Campaign, seed: int) -> None:
    """Our own addresses in other words: the same store, and the same results."""
    known = versions_of(campaign)
    own = f"{campaign.place.top}/.unseen/mlflow.db"
    for spelled in ("sqlite:///.unseen/mlflow.db", ".unseen/mlflow.db", f"file://{own}", own):
        step(campaign, *retrain(seed), prepared=_environment(MLFLOW_TRACKING_URI=spelled))
    _expect(campaign, versions_of(campaign) == known, "another spelling made a version")


def step(
    campaign: Campaign,
    *command: str,
    prepared: Callable[[], None] | None = None,
    allowed: tuple[int, ...] = (0,),
    whole: bool = True,
) -> End:
    """Run one command and look at everything after it.

    Args:
        campaign: It is counted there.
        *command: Of ``unseen``.
        prepared: Called in its process first.
        allowed: Exit codes that are right.
        whole: Look at the registry, the history and the data too, not at what is shown alone.
    """
    campaign.steps += 1
    end = campaign.place.run(*command, prepared=prepared)
    what = f"{command[0]} {'' if prepared is None else '(hindered)'}"
    if whole:
        campaign.look(end, what)
    else:
        campaign.state = checks.read(campaign.place.top)
    if "Traceback (most recent call last)" in end.output:
        campaign.tracebacks += 1
        campaign.note(f"{what}: shows a traceback:\n{end.output[-3000:]}")
    if end.code not in allowed:
        campaign.note(f"{what}: ended with {end.code}:\n{end.output[-2000:]}")
    return end


def _refused(
    campaign: Campaign,
    command: tuple[str, ...],
    says: str,
    prepared: Callable[[], None] | None = None,
) -> None:
    """Check that a command refuses, says why, and changes nothing that counts."""
    before = campaign.state
    end = step(campaign, *command, prepared=prepared, allowed=(1, 2))
    _expect(campaign, says in end.output, f"{command[0]} does not say {says!r}: {end.output}")
    now = campaign.state
    same = (before.versions, before.aliases, before.data_md5) == (
        now.versions,
        now.aliases,
        now.data_md5,
    )
    _expect(campaign, same, f"{command[0]} was refused and has changed something")


def _unchanged(campaign: Campaign, seed: int, chosen: int) -> None:
    """An unchanged retrain; whoever a person has chosen must serve afterwards."""
    step(campaign, *retrain(seed), whole=False)
    if _champion(campaign) != chosen:
        campaign.undone += 1
        campaign.note(f"a retrain undid the decision for {chosen}: {_champion(campaign)} serves")


def _champion(campaign: Campaign) -> int:
    return campaign.state.aliases.get((MODEL, "champion"), 0)


def _expect(campaign: Campaign, holds: bool, otherwise: str) -> None:  # noqa: FBT001
    if not holds:
        campaign.note(otherwise)


def _environment(**values: str) -> Callable[[], None]:
    return functools.partial(os.environ.update, values)


def _limit_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))


def _git(campaign: Campaign, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=campaign.place.top, check=True)
    campaign.state = checks.read(campaign.place.top)  # what a person does is no fault


def _set_champion(version: int) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/.unseen/mlflow.db")
    client.set_registered_model_alias(MODEL, "champion", str(version))


def _delete_version(version: int) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/.unseen/mlflow.db")
    client.delete_model_version(MODEL, str(version))


def _copy_missing(source: str, target: str) -> str:
    return target if Path(target).exists() else str(shutil.copyfile(source, target))


@contextlib.contextmanager
def _remote(campaign: Campaign) -> Iterator[None]:
    """A default remote of DVC that does not answer."""
    local = campaign.place.top / ".dvc" / "config.local"
    local.write_text(f"[core]\n    remote = dead\n['remote \"dead\"']\n    url = {DEAD}/store\n")
    try:
        yield
    finally:
        local.unlink()
