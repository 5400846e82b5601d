import shlex
import shutil
import subprocess
import sys

import pytest

from flows.operations import desired_state, keep_up
from flows.operations.desired_state import Wanted
from tasks.platform import background
from tasks.platform.identity import identity


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    folder = tmp_path / 'ada\'s "50" project'
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def test_a_unit_keeps_settings_and_no_secrets():
    unit = keep_up.unit(
        {
            "MLFLOW_TRACKING_URI": "http://m/100%",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "PREFECT_API_AUTH_STRING": "hush",
            "UNSEEN_LOCK_DATABASE": "postgresql://ada:hush@host",
            "HOME": "/home/ada",
        }
    )
    assert 'Environment="MLFLOW_TRACKING_URI=http://m/100%%"' in unit
    assert "hush" not in unit
    assert "HOME=" not in unit
    assert "Restart=on-failure" in unit


SETTINGS = {
    "Unit": {"Description", "StartLimitIntervalSec", "StartLimitBurst"},
    "Service": {
        *("WorkingDirectory", "Environment", "ExecStart", "Restart", "RestartSec", "RestartSteps"),
        *("RestartMaxDelaySec", "TimeoutStopSec", "KillMode"),
    },
    "Install": {"WantedBy"},
}
"""Of systemd.unit(5), .service(5), .exec(5) and .kill(5): those that are used, by section."""


def read(unit):
    """Settings of a unit as systemd reads them: (section, name, words)."""
    section, found = "", []
    for line in filter(None, unit.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
            continue
        name, _, value = line.partition("=")
        assert name in SETTINGS[section], line
        assert "%" not in value.replace("%%", ""), line  # it would begin a specifier
        quoted = name in ("Environment", "ExecStart")
        found.append((section, name, shlex.split(value) if quoted else [value]))
    return [(*where, [word.replace("%%", "%") for word in words]) for *where, words in found]


def test_systemd_understands_the_unit(project, tmp_path):
    variables = {"PATH": "/usr/bin", "MLFLOW_EXPERIMENT_NAME": 'a "b" c\\d 100% $HOME'}
    written = keep_up.unit(variables)
    found = read(written)
    kept = [word for _, name, words in found if name == "Environment" for word in words]
    assert dict(each.split("=", 1) for each in kept) == variables
    assert ["Service", "WorkingDirectory", [str(project)]] in [list(each) for each in found]
    (command,) = [words for _, name, words in found if name == "ExecStart"]
    assert [sys.executable, "up", "--foreground"] == [
        word.replace("$$", "$") for word in (command[0], *command[-2:])
    ]
    if shutil.which("systemd-analyze"):  # and what systemd itself says, where it is
        path = tmp_path / "unseen-test.service"
        path.write_text(written)
        verify = ["systemd-analyze", "--user", "verify", path]
        told = subprocess.run(verify, capture_output=True, text=True, check=False).stderr
        assert path.name not in told, told


def test_it_is_installed_where_systemd_looks(tmp_path):
    told = keep_up.install()
    path = tmp_path / "config" / "systemd" / "user" / f"unseen-{identity()}.service"
    assert str(path) in told
    assert "up" in path.read_text()


def test_who_stays_mends_what_is_lost_and_leaves_when_everything_was_stopped(monkeypatch):
    keep_up.stay()  # nothing should run
    desired_state.remember(Wanted())
    background.folder().mkdir(parents=True)
    (background.folder() / "lost.json").write_text("{}")
    mended = []

    def up(given):
        mended.append(given)
        desired_state.forget()

    monkeypatch.setattr(keep_up.services, "up", up)
    keep_up.stay()
    assert mended == [{}]
