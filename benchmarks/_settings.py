"""Settings that several benchmarks share, for machines without the product's dependencies."""

import dataclasses

from models.one_class.deep_anomaly import DeepAnomaly

PED2 = DeepAnomaly.Config(
    flow="blocks",
    movement=10.0,
    shrinkage=0.6,
    neighbourhood=7,
    num_votes=9,
    perspective=True,
    layer=dataclasses.replace(DeepAnomaly.Config().layer, kernels=100),
)
"""The detector of the recipe ``ped2``."""
