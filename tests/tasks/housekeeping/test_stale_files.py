import os

from tasks.housekeeping import stale_files
from tasks.housekeeping.references import References

RUN, OTHER = "a" * 32, "b" * 32


def write(path, text, moment):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (moment, moment))


def test_a_remembered_result_stays_for_a_registered_version_or_while_it_is_young(repository):
    storage = repository / ".unseen" / "prefect" / "storage"
    write(storage / "fit-1", f"run {RUN}", 10)
    write(storage / "fit-2", f"run {OTHER}", 10)
    write(storage / "fit-3", f"run {'c' * 32}", 90)
    needed = References()
    needed.add(RUN, "walkway 1")
    found = stale_files.results(needed, cutoff=50)
    assert [each.name for each in found.stale] == ["prefect/storage/fit-2"]
    assert found.kept == {"walkway 1": 1, "younger": 1}
    assert needed.ids["c" * 32] == {"remembered results"}
    for _ in range(2):
        found.stale[0].remove()
    assert sorted(path.name for path in storage.iterdir()) == ["fit-1", "fit-3"]


def test_old_reports_and_leftovers_go_and_locks_and_young_ones_stay(repository):
    home = repository / ".unseen"
    write(home / "validation" / "old" / "index.html", "x", 10)
    write(home / "validation" / "young" / "index.html", "x", 90)
    write(home / "validation" / "old.lock", "", 10)
    write(home / "tracks" / "old.npz", "x", 10)
    write(home / "scratch" / "reproduce-1" / "data", "x", 10)
    for folder in ("validation/old", "scratch/reproduce-1"):
        os.utime(home / folder, (10, 10))
    found = stale_files.scratch(cutoff=50)
    assert [each.name for each in found.stale] == [
        "validation/old",
        "tracks/old.npz",
        "scratch/reproduce-1",
    ]
    for each in found.stale:
        each.remove()
    assert sorted(path.name for path in (home / "validation").iterdir()) == ["old.lock", "young"]
    assert not list((home / "scratch").iterdir())
