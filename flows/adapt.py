"""Adapt: from a detector of one camera to a detector of another, without labels of it."""

from pathlib import Path

from prefect import flow

from flows import recipes
from flows.outcome import told
from flows.recipes.adaptation import adaptation
from tasks.data.ingest import ingest
from tasks.data.validate import validate
from tasks.evaluation.comparison import compare
from tasks.evaluation.evaluate import evaluate
from tasks.platform.flow_run import first_name
from tasks.records import Decision
from tasks.registry.promote import promote
from tasks.registry.register import register
from tasks.training.adaptation.adapt import adapt as adapt_encoder
from tasks.training.adaptation.recalibrate import recalibrate
from tasks.training.adaptation.source_detector import recall
from tasks.training.retrain_turn import turn


@flow(flow_run_name=first_name)
@told
def adapt(
    reference: str,
    name: str,
    data: Path | None = None,
    device: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
) -> Decision:
    """Carry a registered detector over to another camera and let it serve if it is not worse there.

    Args:
        reference: The detector to start from: ``NAME`` for its champion, ``NAME@ALIAS``, or a
            version ``NAME@3``.
        name: Of the other camera's data set, and of its registered model.
        data: Folder to bring in as that data set first; else the current version is used.
        device: ``auto``, ``cpu`` or ``cuda``, instead of the source's.
        seed: Seed of every random choice, instead of the source's.
        steps: Of the adversarial training, instead of the default.

    Returns:
        What was decided about the challenger, and why. As long as nothing serves under this name,
        it is compared with the detector it was made from, on the other camera's test images.
    """
    source = recall(reference)
    chosen = adaptation(source, name, device=device, seed=seed, steps=steps)
    with turn(chosen.name):
        version = ingest(chosen.dataset, data)
        validation = validate(version, chosen.expectations, chosen.name)
        encoder = adapt_encoder(source, version, chosen.adapter, chosen.training, chosen.name)
        detector = recalibrate(
            source,
            version,
            validation,
            encoder,
            chosen.training,
            recipes.describe(chosen),
            chosen.name,
        )
        report = evaluate(version, detector)
        challenger = register(detector, report, chosen.name)
        comparison = compare(challenger, report, chosen.promotion, rival=source)
        decision: Decision = promote(challenger, comparison, chosen.promotion)
        return decision
