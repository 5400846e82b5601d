"""Git, asked by its own command. What it refuses is an error in its own words, never "nothing".

A repository that git does not trust, or that is damaged, has branches and data all the same: taking
its refusal for an empty answer would prune what a branch still names.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.errors import DataError


def ask(*arguments: str, folder: Path, also: Sequence[int] = ()) -> str:
    """Output of one git command, without the line end.

    Args:
        *arguments: Of ``git``.
        folder: Where it is run.
        also: Exit codes besides 0 by which this command says "no"; then the output is as it is.

    Raises:
        DataError: If git refuses, or is not there.
    """
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # looking disturbs nobody who commits
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError as error:
        raise DataError(
            "git must be on PATH, because it names the versions of data and code, and there is no "
            "'git'. Install it, or correct PATH."
        ) from error
    if done.returncode not in {0, *also}:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise DataError(
            f"git must answer 'git {arguments[0]}' in {folder}, and refuses: {said}\nNothing was "
            f"changed. Do what git says until 'git status' works in {folder}, then run the same "
            "command again."
        )
    return done.stdout.rstrip("\n")


def head(folder: Path) -> str | None:
    """The current commit; None before the first one."""
    return ask("rev-parse", "--verify", "-q", "HEAD", folder=folder, also=[1]) or None


def changed(folder: Path, *paths: str) -> str:
    """What ``git status`` says of the paths in its short form; empty if all is committed."""
    return ask("status", "--porcelain", "--", *paths, folder=folder)


def setting(folder: Path, name: str) -> str:
    """A value of git's configuration; empty if it is not set."""
    return ask("config", "--get", name, folder=folder, also=[1])


def text_at(folder: Path, revision: str, path: str) -> str | None:
    """A file, by its path from ``folder``, as it was in a revision; None if it was not there."""
    listed = ask("ls-tree", revision, "--", path, folder=folder)
    return ask("cat-file", "blob", listed.split()[2], folder=folder) if listed else None


def commits(folder: Path, path: str) -> list[str]:
    """Commits of all branches and tags in which a file changed, newest first."""
    return ask("log", "--all", "--format=%H", "--", path, folder=folder).split()


def tips(folder: Path) -> dict[str, str]:
    """Every name that keeps a commit alive, and the commit: branches, tags, stash, worktrees."""
    refs = ask("for-each-ref", "--format=%(objectname) %(refname)", folder=folder)
    found = {name: commit for commit, _, name in (each.partition(" ") for each in refs.split("\n"))}
    found.pop("", None)
    for line in ask("worktree", "list", "--porcelain", folder=folder).splitlines():
        if line.startswith("HEAD ") and set(line[5:]) != {"0"}:
            found[f"worktree at {line[5:]}"] = line[5:]
    return found


def files(folder: Path, revision: str) -> Iterator[tuple[str, str]]:
    """Path from the top of the repository, and blob, of every file of a revision."""
    listed = ask("ls-tree", "-r", "-z", "--full-tree", revision, folder=folder)
    for line in filter(None, listed.split("\0")):
        described, _, path = line.partition("\t")
        yield path, described.split()[2]
