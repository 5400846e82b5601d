"""Choose a detector for the data, without labels: by defects that are put into normal images."""

import mlflow
import torch

from models.contracts import DetectorConfig
from models.selection import MOST, Choice, choose
from tasks.data import mlflow_dataset, snapshots
from tasks.platform import progress
from tasks.records import DataVersion, Selection, TrainedModel, Training
from tasks.registry import lineage_record, mlflow_store
from tasks.registry.caching import remembered
from tasks.training import devices, encoder_store, inputs
from tasks.training.batches import Batches


@remembered("choose a detector on {version}")
def choose_detector(
    version: DataVersion,
    encoder: TrainedModel,
    candidates: dict[str, DetectorConfig],
    training: Training,
    model_name: str,
) -> Selection:
    """Fit candidates on a part of the normal images, judge each by put-in defects in the rest.

    Args:
        version: Data, of which only the normal training images are read.
        encoder: Of the pretext run; all candidates stand on it.
        candidates: Hyper-parameters of each, by name.
        training: How images are read, the seed, and the device.
        model_name: The experiment that the run belongs to.

    Raises:
        DataError: If the data cannot be read.
        NotFoundError: If the encoder's run is gone.
        TrainingError: If there are too few normal images.
    """
    tags, params = lineage_record.data_tags(version), {"candidates": ", ".join(candidates)}
    with mlflow_store.run("choose", model_name, tags=tags, params=params) as active:
        mlflow_dataset.log_input(version, "training")
        snapshot = snapshots.open_version(version)
        trunk, _ = encoder_store.load(encoder)
        fabric = devices.fabric(training.device)
        clips = snapshot.clips("train")
        chosen = clips[:: -(-len(clips) // MOST)]
        images = torch.cat(list(Batches(snapshot, chosen, **inputs.reading(training))))
        found = choose(
            candidates, trunk, images, seed=training.seed, fabric=fabric, progress=progress.bar
        )
        rows = {name: {"all": each.auroc, **each.by_kind} for name, each in found.table.items()}
        mlflow.log_dict(rows, "selection/table.json")
        mlflow.log_table(_columns(found), "selection/table_for_people.json")
        mlflow.log_metrics({f"put_in_auroc.{name}": row["all"] for name, row in rows.items()})
    return Selection(
        run_id=active.info.run_id,
        name=found.name,
        runner_up=found.runner_up,
        margin=found.margin.mean,
        margin_lower_bound=found.margin.lower_bound,
        put_in_auroc={name: row["all"] for name, row in rows.items()},
    )


def _columns(found: Choice) -> dict[str, list[object]]:
    kinds = sorted({kind for each in found.table.values() for kind in each.by_kind})
    return {
        "detector": list(found.table),
        "put_in_auroc": [each.auroc for each in found.table.values()],
        **{k: [each.by_kind.get(k) for each in found.table.values()] for k in kinds},
    }
