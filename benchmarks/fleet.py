"""What many cameras need: arithmetic from stated assumptions, some measured, most of them yours.

Nothing is measured here. Every assumption is an option, for your own figures to take its place.

    python -m benchmarks.fleet [--cameras 10000] [--cameras-per-model 100] ...
"""

import argparse
import json
from dataclasses import asdict, dataclass, fields

DAY = 86_400
MONTH = 30 * DAY
GIGA = 1e9


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Assumptions. Those that say so were measured on two cores of a server processor."""

    cameras: float = 10_000
    cameras_per_model: float = 100
    """Cameras that share a detector; 1 gives each its own."""
    frames_per_second: float = 5
    """Frames of one camera that are scored in a second; assumed."""
    frames_per_core_second: float = 14.6
    """Frames that one core scores, decoding and maps included; measured: 29.2 on 2 cores."""
    frames_per_gpu_second: float = 20_000
    """Frames that one GPU scores; a target that was not measured."""
    utilisation: float = 0.7
    """Share of the capacity that is planned with; assumed."""
    bytes_per_frame: float = 31_600
    """Of a frame as PNG; measured: 36 MB of 1,140 files, 160 x 240 pixels."""
    bytes_per_score: float = 200
    """Of a logged prediction without its image; assumed."""
    logged_share: float = 0.01
    """Share of the predictions that are logged; assumed."""
    false_alarms_per_camera_day: float = 1
    """That people can bear; assumed."""
    training_hours: float = 1
    """Normal frames of one camera that a data version holds, in hours of video; assumed."""
    kept_versions: float = 10
    """Versions of each model that are kept; assumed."""
    bytes_per_version: float = 12e6
    """Packaged detector, 9.8 MB measured for ``walkway``, and the pictures of its runs."""
    retrains_per_day: float = 1
    """Of each model; assumed."""
    core_seconds_per_retrain: float = 312
    """Measured: 156 s on 2 cores for the embedded data."""
    task_runs_per_retrain: float = 9
    """Counted in flows/retrain.py, and the flow run itself."""
    task_runs_per_second: float = 60
    """That one Prefect server records on PostgreSQL; measured."""
    calls_per_retrain: float = 250
    """Requests to MLflow; assumed."""
    seconds_per_call: float = 0.0129
    """Of one MLflow worker on PostgreSQL; measured for a metric."""
    looks_per_day: float = 4
    """Looks for drift at each model; assumed. The default, every 15 minutes, is for one machine."""
    core_seconds_per_look: float = 10
    """Measured: 8.7 s of imports, and the look."""
    memory_per_server: float = 0.6e9
    """Of one serving process; measured."""
    dollars_per_core_hour: float = 0.04
    """Assumed, like all prices."""
    dollars_per_gpu_hour: float = 2.5
    dollars_per_gigabyte_month: float = 0.023


def needs(fleet: Fleet) -> dict[str, float]:
    """What the fleet needs, by name; units are in the names."""
    frames = fleet.cameras * fleet.frames_per_second
    models = fleet.cameras / fleet.cameras_per_model
    retrains = models * fleet.retrains_per_day
    frames_per_camera_day = fleet.frames_per_second * DAY
    cores = frames / fleet.frames_per_core_second / fleet.utilisation
    gpus = frames / fleet.frames_per_gpu_second / fleet.utilisation
    training = retrains * fleet.core_seconds_per_retrain / DAY / fleet.utilisation
    looking = models * fleet.looks_per_day * fleet.core_seconds_per_look / DAY / fleet.utilisation
    scores = frames * fleet.logged_share * fleet.bytes_per_score
    data = fleet.cameras * fleet.training_hours * 3600 * fleet.frames_per_second
    stored = {
        "data_versions_gb": data * fleet.bytes_per_frame / GIGA,
        "models_gb": models * fleet.kept_versions * fleet.bytes_per_version / GIGA,
        "predictions_gb_per_month": scores * MONTH / GIGA,
    }
    hours = MONTH / 3600
    return {
        "frames_per_second": frames,
        "network_gbit_per_second": frames * fleet.bytes_per_frame * 8 / GIGA,
        "p_value_for_that_many_false_alarms": fleet.false_alarms_per_camera_day
        / frames_per_camera_day,
        "serving_cores": cores,
        "or_serving_gpus": gpus,
        "serving_memory_gb_at_one_process_per_model": models * fleet.memory_per_server / GIGA,
        "training_cores": training,
        "monitoring_cores": looking,
        "prefect_task_runs_per_second": retrains * fleet.task_runs_per_retrain / DAY,
        "prefect_minutes_if_all_retrain_at_once": retrains
        * fleet.task_runs_per_retrain
        / fleet.task_runs_per_second
        / 60,
        "mlflow_workers": retrains * fleet.calls_per_retrain * fleet.seconds_per_call / DAY,
        **stored,
        "dollars_per_month_cores": (cores + training + looking)
        * hours
        * fleet.dollars_per_core_hour,
        "or_dollars_per_month_gpus": gpus * hours * fleet.dollars_per_gpu_hour,
        "dollars_per_month_storage": sum(stored.values()) * fleet.dollars_per_gigabyte_month,
    }


def main() -> None:
    """Print assumptions and needs as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for each in fields(Fleet):
        option = f"--{each.name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=each.default)
    fleet = Fleet(**vars(parser.parse_args()))
    found = {name: float(f"{value:.3g}") for name, value in needs(fleet).items()}
    print(json.dumps({"assumptions": asdict(fleet), "needs": found}, indent=1))


if __name__ == "__main__":
    main()
