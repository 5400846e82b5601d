from benchmarks.cli import COMMANDS, seconds
from tests.old_store import unpack


def test_the_commands_run_on_the_store_that_is_unpacked_for_them(tmp_path):
    folder = unpack(tmp_path / "project")
    assert seconds(COMMANDS["models"], folder) > 0
