"""Services, deployments, and what should run."""
