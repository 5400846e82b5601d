"""Awkward inputs, through ingest, training and prediction: nothing lost, nothing misread.

Files and folders as people have them, each made from a set whose pictures are known pixel by pixel.
Asked of each: no traceback; what is accepted is read as people see it, in training and serving
alike, so that the anomalies are ranked first; what is refused says why, and leaves ``data/`` as it
was, after which the same command with good data works. A generator of properties (Hypothesis) asks
the same of the readers for combinations that nobody thought of.

    python -m benchmarks.awkward [--only TEXT] [--examples 60]
"""

import argparse
import logging
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import _awkward_cases as files
from benchmarks import _awkward_clips as clips
from benchmarks import _awkward_folders as folders
from benchmarks._awkward_cases import INGEST, Case

GENERATORS = (
    files.encodings,
    files.mask_cases,
    files.damaged_cases,
    folders.name_cases,
    folders.layout_cases,
    folders.split_cases,
    folders.inside_cases,
    folders.link_cases,
    folders.duplicate_cases,
    lambda: folders.combinations(16),
    clips.frame_cases,
    clips.label_cases,
    clips.video_cases,
)


def every() -> Iterator[Case]:
    """All inputs; of each kind the first goes through the tasks of a retrain themselves."""
    return chain.from_iterable(_first_logged(make()) for make in GENERATORS)


def _first_logged(cases: Iterator[Case]) -> Iterator[Case]:
    for number, case in enumerate(cases):
        yield replace(case, logged=case.logged or number == 0)


def workplace(folder: Path) -> None:
    """A git repository with a store of its own, in which a set without faults is known."""
    from benchmarks import _awkward_pictures as pictures
    from benchmarks._awkward_run import NAME, good
    from tasks.data.ingest import ingest_folder

    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "init", "-q", folder], check=True)
    begin = ["git", *identity, "commit", "-qm", "Begin", "--allow-empty"]
    subprocess.run(begin, cwd=folder, check=True)
    (folder / ".unseen").mkdir()
    ingest_folder(str(pictures.write_set(good())), name=NAME)


def quiet() -> None:
    """Warnings of the inputs are what is looked at, and not those of tools."""
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR)
    for name in ("mlflow", "great_expectations", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"


def main() -> None:
    """Run every input, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", help="run the inputs whose name holds this text; no result")
    parser.add_argument("--examples", type=int, default=60, help="of the generator of properties")
    parser.add_argument("--data", help="not needed: the inputs are made here")
    chosen = parser.parse_args()
    quiet()
    with TemporaryDirectory() as temporary:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/place/.unseen/mlflow.db"
        place = Path(temporary) / "place"
        place.mkdir()
        with chdir(place):
            _run(chosen, Path(temporary), place)


def _run(chosen: argparse.Namespace, temporary: Path, place: Path) -> None:
    from benchmarks import _awkward_run as runner
    from benchmarks._awkward_properties import examples
    from benchmarks._result import report
    from tasks.data.ingest import ingest_folder

    workplace(place)
    cases = [case for case in every() if not chosen.only or chosen.only in case.name]
    results = []
    for number, case in enumerate(cases):
        result = runner.run(case, temporary / f"input{number}")
        if case.outcome == INGEST and case.inside:
            ingest_folder(runner.NAME, discard=True)
        elif case.outcome == INGEST:
            ingest_folder(str(runner.good()), name=runner.NAME)
        results.append(result)
        said = (
            f"{number + 1}/{len(cases)} {case.name}: {'; '.join(result.faults) or 'as it should'}"
        )
        sys.stderr.write(said.encode("ascii", "backslashreplace").decode() + "\n")
    found = [] if chosen.only else examples(chosen.examples, temporary / "generated")
    if chosen.only:
        return
    counts = Counter(result.outcome or "traceback" for result in results)
    report(
        "awkward",
        {
            "cases": len(results) + chosen.examples,
            "tracebacks": sum(bool(result.traceback) for result in results),
            "misread": sum(bool(result.misread) for result in results) + len(found),
            "lost": sum(result.lost for result in results),
        },
        seeds=[0],
        notes={
            **{name: str(count) for name, count in counts.items()},
            "generated": str(chosen.examples),
            "faults": "; ".join([*(f"{r.name}: {r.faults}" for r in results if r.faults), *found])
            or "none",
        },
    )


if __name__ == "__main__":
    main()
