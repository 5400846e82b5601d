"""Models that sort images into clusters without labels; see ``models.contracts.Clusterer``."""
