"""Settings: the environment variables that decide where things are, read in this one place.

A plain dataclass, because commands must not wait for the import of ``pydantic_settings``: it takes
half as long as all of ``unseen models``.
"""

import os
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is the variable of the same name in capitals; empty if it is not set."""

    mlflow_tracking_uri: str = ""
    """MLflow's store: a server, PostgreSQL or a file of SQLite; else ``.unseen/mlflow.db``."""
    mlflow_default_artifact_root: str = ""
    """Where artifacts go if the store is a database server."""
    unseen_lock_database: str = ""
    """URL of a PostgreSQL database that all machines of a registry share."""
    unseen_programs: str = ""
    """``none`` registers versions without an ONNX program: they serve by torch."""
    unseen_key: str = ""
    """Key to ask a server of ours with."""
    prefect_api_url: str = ""
    prefect_api_key: str = ""
    prefect_api_auth_string: str = ""
    """``user:password`` of a Prefect server."""
    prefect_home: str = ""
    prefect_profile: str = ""
    xdg_config_home: str = ""
    """Where units of systemd go, below it."""


def read() -> Settings:
    """The settings as the environment has them now."""
    known = {each.name: os.environ.get(each.name.upper(), "") for each in fields(Settings)}
    return Settings(**known)
