"""Models that sort images into clusters without labels; see ``models.contracts.Clusterer``."""

from models.clustering._schedule import AUGMENTED, Schedule

__all__ = ["AUGMENTED", "Schedule"]
