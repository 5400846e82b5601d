"""Deployed detectors, as the rooms of ``tasks`` test with them."""

from tests.tasks.deployed import clips, deploy_detector, settled  # noqa: F401
