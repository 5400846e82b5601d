"""Settings that several benchmarks share, for machines without the product's dependencies."""

from models.one_class.motion_gaussian import MotionGaussian

PED2 = MotionGaussian.Config(
    flow="blocks",
    movement=10.0,
    shrinkage=0.6,
    neighbourhood=7,
    num_votes=9,
    perspective=True,
    appearance=False,
)
"""The detector of the recipe ``ped2``."""
