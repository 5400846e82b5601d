"""Ports: where services are to answer, checked before any of them is started."""

from collections.abc import Collection, Iterator

from flows.operations.desired_state import Wanted
from tasks.console import serving
from tasks.platform import background, prefect_server
from tasks.platform.background import Background
from tasks.registry import mlflow_server
from tasks.serving import pages

USUAL = {
    prefect_server.NAME: 4200,
    mlflow_server.NAME: mlflow_server.USUAL_PORT,
    serving.PROCESS: 8000,
    pages.PROCESS: 8900,
}


def asked(wanted: Wanted) -> dict[str, int]:
    """Port of each service for which one was asked for; of serving, for as many as are known."""
    found = {
        prefect_server.NAME: wanted.prefect_port,
        mlflow_server.NAME: wanted.mlflow_port,
        pages.PROCESS: wanted.console_port if wanted.console else None,
    }
    if wanted.serve and wanted.serve_port:
        for index, model in enumerate(wanted.models):
            found[serving.PROCESS + model] = wanted.serve_port + index
    return {name: port for name, port in found.items() if port}


def free(wanted: Wanted, given: Collection[str]) -> None:
    """Stop what answers at another port than is now asked for; nothing, unless all are free.

    Args:
        wanted: What should run.
        given: Names of the options that were given this time.

    Raises:
        InvalidInputError: If a port is taken that a service has yet to take.
    """
    elsewhere = list(_elsewhere(wanted, given))
    for name, port in asked(wanted).items():
        if name in elsewhere or background.find(name) is None:
            background.port(port, port)
    if wanted.serve and wanted.serve_port and not wanted.models:  # their names are not known yet
        ours = {each.url.rpartition(":")[2] for each in _serving()}
        for port in range(wanted.serve_port, wanted.serve_port + len(wanted.recipes)):
            if str(port) not in ours:
                background.port(port, 0)
    for name in elsewhere:
        background.stop(name)


def _serving() -> Iterator[Background]:
    for name in background.names():
        process = background.find(name)
        if process and name.startswith(serving.PROCESS):
            yield process


def _elsewhere(wanted: Wanted, given: Collection[str]) -> Iterator[str]:
    options = {prefect_server.NAME: "prefect_port", mlflow_server.NAME: "mlflow_port"}
    options[pages.PROCESS] = "console_port"
    for name, port in asked(wanted).items():
        process = background.find(name)
        asked_now = options.get(name, "serve_port") in given
        if asked_now and process and f":{port}" not in process.url:
            yield name


def of(name: str, number: int | None, index: int = 0) -> int:
    """A free port for a service: that which was asked for, else the usual one, else any.

    Args:
        name: A key of ``USUAL``.
        number: That was asked for.
        index: Of a served model among several.

    Raises:
        InvalidInputError: If the one that was asked for is taken.
    """
    return background.port(number + index if number else None, USUAL[name] + index)
