import re
from pathlib import Path

from tasks.platform import settings

ROOT = Path(__file__).parents[3]


def test_settings_are_as_the_environment_has_them_now(monkeypatch):
    monkeypatch.delenv("UNSEEN_KEY", raising=False)
    assert settings.read().unseen_key == ""
    monkeypatch.setenv("UNSEEN_KEY", "secret")
    assert settings.read().unseen_key == "secret"


def test_nobody_else_reads_them():
    names = "|".join(name.upper() for name in settings.Settings.__dataclass_fields__)
    reads = re.compile(rf"environ\.get\(\"({names})\"|environ\[\"({names})\"\](?! =)")
    for layer in ("flows", "tasks"):
        for path in (ROOT / layer).rglob("*.py"):
            if path.name == "sandbox.py":  # puts back what the environment had
                continue
            assert not reads.search(path.read_text()), path
