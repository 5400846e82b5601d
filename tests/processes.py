"""Processes that must succeed, with what they said if they do not."""

import subprocess


def output_of(command, **options):
    """Standard output of a command that must end well; else the assertion tells all it said."""
    options = {"timeout": 250, **options}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
