"""Keep up: watch the supervisors of the services, and let systemd watch this.

Each service has a supervisor. ``unseen up --foreground`` starts those again that are lost; systemd,
where it is asked to, runs that in a unit of the user, when it fails and when the machine starts.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from flows.operations import desired_state, services
from models.errors import InvalidInputError
from tasks.platform import background, settings, workspace
from tasks.platform.identity import identity

LOOK_SECONDS = 2.0
UNIT = """[Unit]
Description=unseen in {root}
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
WorkingDirectory={directory}
{environment}ExecStart={command}
Restart=on-failure
RestartSec=5
RestartSteps=5
RestartMaxDelaySec=60
TimeoutStopSec=120
KillMode=mixed

[Install]
WantedBy=default.target
"""
KEPT = ("MLFLOW_", "PREFECT_", "UNSEEN_", "AWS_", "OMP_", "CUDA_", "DVC_")
"""What a unit keeps of the environment begins so; but no secret, which a file would show."""
SECRET = ("KEY", "SECRET", "TOKEN", "PASSWORD", "AUTH_STRING", "CONNECTION_URL", "DATABASE")


def stay() -> None:
    """Start again what is lost, until nothing should run any more; stop all when asked to end.

    Raises:
        ServiceError: If a service does not come up again.
    """
    signal.signal(signal.SIGTERM, _end)
    while desired_state.remembered() is not None:  # 'unseen down' elsewhere ends this, too
        if any(background.find(name) is None for name in background.names()):
            with background.lock("up"):  # who stops it meanwhile is not undone
                if desired_state.remembered() is not None:
                    services.up({})
        time.sleep(LOOK_SECONDS)


def _end(*_: object) -> None:
    services.down()
    sys.exit(0)


def install() -> str:
    """Write the unit of this workplace, and have systemd run it where it can; what came of it.

    Raises:
        InvalidInputError: If its folder cannot be written.
    """
    config = Path(settings.read().xdg_config_home or Path.home() / ".config")
    path = config / "systemd" / "user" / f"unseen-{identity()}.service"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(unit(os.environ))
    except OSError as error:
        raise InvalidInputError(
            f"--systemd must be able to write {path}, got: {error.strerror}. Set XDG_CONFIG_HOME."
        ) from error
    commands = (
        ["systemctl", "--user", "daemon-reload"],
        ["systemctl", "--user", "enable", "--now", path.name],
    )
    if shutil.which("systemctl") and all(_runs(command) for command in commands):
        return f"systemd keeps it up: {path}. For starts without you: loginctl enable-linger"
    told = " && ".join(shlex.join(command) for command in commands)
    return f"The unit is {path}; systemd does not answer here. Where it does: {told}"


def unit(environment: Mapping[str, str]) -> str:
    """Text of the unit that runs ``unseen up --foreground`` in this workplace.

    Args:
        environment: Of which the variables of our tools are kept, unless they are secret.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in ("PATH", "PYTHONPATH")
        or (name.startswith(KEPT) and not any(word in name for word in SECRET))
    }
    command = [sys.executable, "-m", "flows.cli", "up", "--foreground"]
    return UNIT.format(
        root=_escaped(str(workspace.root())),
        directory=_escaped(str(workspace.root())),
        environment="".join(
            f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(kept.items())
        ),
        command=" ".join(_quoted(part).replace("$", "$$") for part in command),
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """As systemd.syntax(7) has it: in double quotes, with C escapes; % begins a specifier."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_escaped(plain)}"'


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
