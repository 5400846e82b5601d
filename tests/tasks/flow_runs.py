"""Flow runs that a real Prefect server knows, made without running a flow."""

import uuid

from tasks.platform import prefect_server

SECONDS = 60.0
"""How long a busy server may take."""


def flow_run(api, state):
    """Have the server note a flow run in a state such as ``COMPLETED``; what it says of it."""
    flow = prefect_server.call(api, "POST", "/flows/", content={"name": "retrain"}, seconds=SECONDS)
    name = f"run-{uuid.uuid4().hex[:8]}"
    content = {"flow_id": flow["id"], "state": {"type": state}, "name": name}
    return prefect_server.call(api, "POST", "/flow_runs/", content=content, seconds=SECONDS)
