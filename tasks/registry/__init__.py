"""MLflow: runs, versions, aliases, decisions."""
