"""Steps: what each flow tells other tools of, see ``tasks.lineage.open_lineage``."""

import os


def observe() -> None:
    """Tell OpenLineage of the steps of every flow from now on, if a variable names its server."""
    if not os.environ.get("OPENLINEAGE_URL"):
        return
    from tasks.data.ingest import ingest
    from tasks.data.validate import validate
    from tasks.evaluation.evaluate import evaluate
    from tasks.lineage import open_lineage
    from tasks.registry.promote import promote
    from tasks.training.fit import fit
    from tasks.training.pretrain import pretrain

    open_lineage.observe(ingest, validate, pretrain, fit, evaluate, promote)
