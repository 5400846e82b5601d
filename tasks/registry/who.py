"""Who: on whose behalf something is decided."""

import getpass
import platform
import sys

from tasks.platform import git, workspace


def who() -> str:
    """On whose behalf this runs: a schedule or an event of Prefect, else a person.

    A person is git's user, else the system's. Of a run that nobody started at a terminal, it is
    told what started it, which flow run it is, and under which account it runs.
    """
    return _automatic() or _person()


def _automatic() -> str:
    prefect = sys.modules.get("prefect.context")  # a flow run has it; others need not wait for it
    context = prefect.FlowRunContext.get() if prefect else None
    run = context.flow_run if context else None
    if run is None or not (run.deployment_id or run.created_by):
        return ""
    kind = run.created_by.type if run.created_by else None
    if kind == "SCHEDULE" or run.auto_scheduled:
        cause = "a schedule"
    elif kind == "AUTOMATION":
        cause = f"an event (automation {run.created_by.display_value})"
    else:
        cause = "somebody in Prefect"
    return f"{cause}, flow run {run.name} ({run.id}), account {_account()}"


def _person() -> str:
    name, email = (git.setting(workspace.root(), f"user.{part}") for part in ("name", "email"))
    if name:
        return f"{name} <{email}>" if email else name
    return _account().partition("@")[0]


def _account() -> str:
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (OSError, KeyError):  # a container's user need not have a name
        return f"unknown@{platform.node()}"
