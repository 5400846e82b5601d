"""Rounds of the campaign: what is started, killed, started again, and looked at."""

import contextlib
import functools
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks import _crash_checks as checks
from benchmarks._crash_points import SIDES, TASKS, at_boundary, before_change, count_changes
from benchmarks._crash_workplace import MODEL, RECIPE, End, Workplace, after, changed


class Campaign:
    """Kills, and what was found after them."""

    def __init__(self, place: Workplace, changes: Mapping[str, int] | None = None) -> None:
        self.place = place
        self.changes = dict(changes or {})
        """How many changes each command makes."""
        self.kills = 0
        self.found: list[str] = []
        self.lost: list[str] = []
        self.steps = 0
        """Commands of scenarios."""
        self.tracebacks = 0
        self.undone = 0
        """Decisions of people that a retrain has undone."""
        self.rollbacks: list[tuple[float, float]] = []
        """Seconds of a rollback's own work, by the clock and of the processor."""
        self.state = checks.read(place.top)

    def look(self, end: End, what: str) -> None:
        """Check everything after a command, however it ended."""
        before, now = self.state, checks.read(self.place.top)
        self.kills += end.killed
        wrong = checks.problems(self.place.top, now)
        wrong += [f"{name} was computed again" for name in checks.computed_again(before, now)]
        gone = checks.lost(before, now)
        self.found += [f"{what}: {each}" for each in wrong]
        self.lost += [f"{what}: {each}" for each in gone]
        print(f"  {what}: {'killed' if end.killed else f'ended with {end.code}'}", flush=True)
        for each in (*wrong, *gone):
            print(f"    {each}", flush=True)
        self.state = now

    def finish(self, command: Callable[[], End], what: str, allowed: tuple[int, ...] = (0,)) -> End:
        """Run a command to its end and check that it ended well and left nothing behind."""
        end = command()
        self.look(end, what)
        if end.code not in allowed:
            self.note(f"{what}: ended with {end.code}:\n{end.output[-3000:]}")
        for path in checks.leftovers(self.place.top, self.place.temporary):
            self.note(f"{what}: {path} was left over")
            target = Path(path)
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        return end

    def note(self, what: str) -> None:
        """Keep an inconsistency."""
        self.found.append(what)
        print(f"    {what}", flush=True)


def retrain(seed: int, *more: str) -> tuple[str, ...]:
    """The command that is killed and run again."""
    return ("retrain", "-r", RECIPE, "--seed", str(seed), *more)


def versions_of(campaign: Campaign) -> int:
    """How many versions the model has."""
    return sum(name == MODEL for name, _ in campaign.state.versions)


def boundaries(campaign: Campaign, seed: int) -> None:
    """One retrain of new data, killed at every boundary of every task."""
    place, known = campaign.place, versions_of(campaign)
    folder = changed(place.top / "incoming", place.folder / "new", seed)
    command = retrain(seed, "--data", str(folder))
    for task in TASKS:
        for side in SIDES:
            end = place.run(*command, prepared=functools.partial(at_boundary, task, side))
            campaign.look(end, f"{task} {side}")
            if not end.killed:
                campaign.note(
                    f"{task} {side}: not reached, ended with {end.code}: {end.output[-2000:]}"
                )
    campaign.finish(lambda: place.run(*command), "completed")
    _check_new_version(campaign, known)


def measure(campaign: Campaign, seed: int) -> None:
    """Count the changes that each command makes, when nobody kills it."""
    place = campaign.place
    new = str(changed(place.top / "incoming", place.folder / "new", seed))
    _count(campaign, "ingest", new, "--as", f"set{seed}")
    _count(campaign, *retrain(seed))
    _count(campaign, "promote", MODEL, str(any_other(campaign, np.random.default_rng(seed))))
    _count(campaign, "rollback", MODEL)


def _count(campaign: Campaign, *command: str) -> None:
    result = campaign.place.folder / "count"
    count = functools.partial(count_changes, campaign.place.folder, result)
    run = functools.partial(campaign.place.run, *command, prepared=count)
    campaign.finish(run, f"counted {command[0]}")
    campaign.changes[command[0]] = int(result.read_text())


def moments(campaign: Campaign, seed: int) -> None:
    """One retrain, killed before a change at random, several times."""
    place, known, chance = campaign.place, versions_of(campaign), np.random.default_rng(seed)
    total = campaign.changes["retrain"]
    for _ in range(4):
        point: Callable[[], None]
        if chance.random() < 0.5:
            point = functools.partial(before_change, int(chance.integers(total)), place.folder)
        else:
            point = after(chance.uniform(0.2, 8.0))
        end = place.run(*retrain(seed), prepared=point)
        campaign.look(end, "retrain at a moment")
        total = max(total // 2, 30)
    campaign.finish(lambda: place.run(*retrain(seed)), "retrain")
    _check_new_version(campaign, known)


def cold(campaign: Campaign, seed: int) -> None:
    """One retrain by a process from nothing, killed from outside; once with its server."""
    place, known, chance = campaign.place, versions_of(campaign), np.random.default_rng(seed)
    for attempt in range(2):
        seconds = chance.uniform(6.0, 20.0)
        end = place.cold(*retrain(seed), kill_after=seconds, server=attempt == 1)
        campaign.look(end, f"cold retrain after {seconds:.1f} s")
    campaign.finish(lambda: place.cold(*retrain(seed)), "cold retrain")
    _check_new_version(campaign, known)


def _check_new_version(campaign: Campaign, known: int) -> None:
    if versions_of(campaign) != known + 1:
        campaign.note(f"{versions_of(campaign) - known} new versions of one retrain")
    if (MODEL, "champion") not in campaign.state.aliases:
        campaign.note("there is no champion")
    served = campaign.place.call(_load_champion)
    if served.code:
        campaign.note(f"the champion does not load: {served.output[-2000:]}")


def _load_champion() -> None:
    """Load the champion as any user of MLflow would, and let it score noise."""
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/.unseen/mlflow.db")
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    scores = model.predict(np.zeros((2, 1, 64, 64), np.uint8))["image_score"]
    assert np.isfinite(scores).all()


def ingests(campaign: Campaign, seed: int) -> None:
    """New data brought in, killed before a change at random."""
    place, chance = campaign.place, np.random.default_rng(seed)
    name = "tiny" if seed % 2 else f"set{seed}"
    folder = changed(place.top / "incoming", place.folder / "new", 1000 + seed)
    command = ("ingest", str(folder), "--as", name)
    for _ in range(3):
        point = functools.partial(
            before_change, int(chance.integers(campaign.changes["ingest"])), place.folder
        )
        campaign.look(place.run(*command, prepared=point), f"ingest {name}")
    campaign.finish(lambda: place.run(*command), f"ingest {name}")
    if not any((place.top / "data" / name).rglob("*.png")):
        campaign.note(f"data/{name} is not there")


def decisions(campaign: Campaign, seed: int) -> None:
    """A promotion by hand and a rollback, each killed before a change; it takes effect once."""
    place, chance = campaign.place, np.random.default_rng(seed)
    for kind in ("promote", "rollback"):
        champion = campaign.state.aliases[MODEL, "champion"]
        made = len(campaign.state.decisions[MODEL])
        chosen = [str(any_other(campaign, chance))] if kind == "promote" else []
        why = ("--instead-of", str(champion), "--why", f"Campaign, {seed}.")
        command = (kind, MODEL, *chosen, *why)
        for _ in range(2):
            point = functools.partial(
                before_change, int(chance.integers(campaign.changes[kind])), place.folder
            )
            campaign.look(place.run(*command, prepared=point), kind)
        campaign.finish(functools.partial(place.run, *command), kind, allowed=(0, 4))
        new = len(campaign.state.decisions[MODEL]) - made
        if new != 1 or campaign.state.aliases[MODEL, "champion"] == champion:
            campaign.note(f"{kind}: {new} decisions instead of one, about {champion}")
    other = str(any_other(campaign, chance))
    campaign.finish(functools.partial(place.run, "promote", MODEL, other), "promote")
    timed = campaign.finish(lambda: place.call(_timed_rollback), "timed rollback")
    wall, own = timed.output.rpartition("seconds ")[2].split()
    campaign.rollbacks.append((float(wall), float(own)))


def _timed_rollback() -> None:
    from tasks.registry.decisions import rollback

    started = time.perf_counter(), time.process_time()
    rollback(MODEL, "Timed.")
    print("seconds", time.perf_counter() - started[0], time.process_time() - started[1])


def any_other(campaign: Campaign, chance: np.random.Generator) -> int:
    """A version at random that does not serve."""
    champion = campaign.state.aliases.get((MODEL, "champion"))
    numbers = [version for name, version in campaign.state.versions if name == MODEL]
    return int(chance.choice([each for each in numbers if each != champion]))


def outages(campaign: Campaign, seed: int) -> None:
    """Retrains while the store is locked, the Prefect server gone, or the disk full."""
    place, wait = campaign.place, np.random.default_rng(seed).uniform(1.0, 4.0)
    process = place.begin(*retrain(seed))
    time.sleep(wait)
    with _locked(place.top):
        time.sleep(6.0)
    _survive(campaign, process, retrain(seed), "store locked for a while", must=True)
    process = place.begin(*retrain(seed + 100))
    time.sleep(wait)
    place.kill_server()
    place.start_server(int(os.environ["PREFECT_API_URL"].rpartition(":")[2].partition("/")[0]))
    _survive(campaign, process, retrain(seed + 100), "Prefect server gone and back", must=True)
    process = place.begin(*retrain(seed + 200))
    time.sleep(wait)
    with _locked(place.top):
        end = place.end(process)
    _survive(campaign, end, retrain(seed + 200), "store locked for good")
    with _full(place.top) as possible:
        if possible:
            end = place.run(*retrain(seed + 300))
    if possible:
        _survive(campaign, end, retrain(seed + 300), "disk full")


def _survive(
    campaign: Campaign,
    process: int | End,
    command: tuple[str, ...],
    what: str,
    *,
    must: bool = False,
) -> None:
    """Check that a command ended well or in one clear sentence, and ends well the next time."""
    place, known = campaign.place, versions_of(campaign)
    end = process if isinstance(process, End) else place.end(process)
    campaign.look(end, what)
    told = "error:" in end.output and "Traceback" not in end.output
    if end.code and (must or not told):
        campaign.note(f"{what}: ended with {end.code}: {end.output[-3000:]}")
    if end.code:
        print(f"    {what}: {end.output[end.output.find('error:') :].strip()[:300]}", flush=True)
        campaign.finish(lambda: place.run(*command), f"after {what}")
    if versions_of(campaign) != known + 1:
        campaign.note(f"{what}: {versions_of(campaign) - known} new versions")


@contextlib.contextmanager
def _locked(top: Path) -> Iterator[None]:
    """Keep everybody from reading and writing the registry."""
    with contextlib.closing(sqlite3.connect(top / ".unseen" / "mlflow.db", timeout=60)) as store:
        store.execute("begin exclusive")
        yield
        store.rollback()


@contextlib.contextmanager
def _full(top: Path) -> Iterator[bool]:
    """Leave no room for artifacts, where a small file system can be mounted; whether it can."""
    place = top / ".unseen" / "artifacts" / MODEL / "models"
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    possible = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield possible
    finally:
        if possible:
            subprocess.run(["umount", str(place)], check=True)
