"""Reads: what the console tells, as JSON. Nothing here changes anything."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, RedirectResponse

from models.errors import NotFoundError
from tasks.console import data, drift, graph, overview, tries
from tasks.console.serving import Health, Serving
from tasks.lineage.trace import trace
from tasks.platform import background, workspace
from tasks.registry import mlflow_server, mlflow_store
from tasks.serving.api_keys import Access, require
from tasks.serving.pages import FOREIGN_POLICY

router = APIRouter(prefix="/api")

Name = Annotated[str, Path(description="Name of the registered model.", max_length=250)]
RunId = Annotated[str, Path(description="Id of an MLflow run.", pattern="^[0-9a-f]{32}$")]
Digest = Annotated[str, Query(description="Digest of a data version.", max_length=64)]


@dataclass(frozen=True, kw_only=True)
class About:
    """What this console stands before."""

    repository: str
    now: str
    """Time of the server; UTC, ISO 8601."""
    mlflow: str
    """Address of the MLflow server's pages; empty if none runs."""
    key: str
    """Name of the key that was sent; empty if it needs none."""
    rights: tuple[str, ...]
    """What may be done with it, or without."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What was found of a model, and what its serving process says now."""

    looks: list[drift.Look]
    """The oldest first."""
    now: dict[str, Any] | None
    """As ``GET /drift`` of the serving process answers; None if none does."""


@router.get("/about")
def about(request: Request) -> About:
    """Who asks, and where this is; 401 if a key is needed and none that is known was sent."""
    access: Access = request.app.state.access
    name = require(request)
    known = {key.name: key.rights for key in access.keys.read()}
    server = background.find(mlflow_server.NAME)
    return About(
        repository=workspace.root().name,
        now=datetime.now(UTC).isoformat(timespec="seconds"),
        mlflow=mlflow_server.configured_url() or (server.url if server else ""),
        key=name,
        rights=known.get(name, ("predict",)),
    )


@router.get("/detectors")
def detectors(request: Request) -> list[overview.Detector]:
    """Every registered model with its versions and decisions."""
    require(request)
    return overview.detectors(mlflow_store.client())


@router.get("/detectors/{name}")
def detector(request: Request, name: Name) -> overview.Detector:
    """One registered model with its versions and decisions."""
    require(request)
    return overview.detector(mlflow_store.client(), name)


@router.get("/detectors/{name}/serving")
def serving(request: Request, name: Name) -> Health:
    """How the serving process of a model is."""
    require(request)
    where: Serving = request.app.state.serving
    return where.health(name)


@router.get("/detectors/{name}/lineage")
def lineage(
    request: Request,
    name: Name,
    version: Annotated[int | None, Query(ge=1, description="The champion, if none.")] = None,
) -> graph.Graph:
    """What a version was made from, as boxes and arrows."""
    require(request)
    return graph.draw(trace(f"{name}@{version}" if version else name))


@router.get("/detectors/{name}/trace")
def whole_trace(
    request: Request,
    name: Name,
    version: Annotated[int | None, Query(ge=1, description="The champion, if none.")] = None,
) -> dict[str, Any]:
    """What a version was made from, as ``unseen trace --json`` has it."""
    require(request)
    return asdict(trace(f"{name}@{version}" if version else name))


@router.get("/detectors/{name}/drift")
def drifted(request: Request, name: Name) -> Drift:
    """What monitoring has found so far, and what the serving process says now."""
    require(request)
    client = mlflow_store.client()
    overview.detector(client, name)
    where: Serving = request.app.state.serving
    now = where.drift(name, tries.passed_on(request))
    return Drift(looks=drift.looks(client, name), now=now)


@router.get("/data")
def data_versions(request: Request) -> list[data.KnownData]:
    """The data versions that are known, with validations, and who learned from them."""
    require(request)
    return data.known(mlflow_store.client())


@router.get("/data/{name}/changes")
def changes(request: Request, name: Name, before: Digest, after: Digest) -> data.Changed:
    """Files that differ between two versions of a data set."""
    require(request)
    return data.changes(mlflow_store.client(), name, before, after)


@router.get("/validations/{run_id}")
def validation(request: Request, run_id: RunId) -> dict[str, Any]:
    """Everything that a validation run found."""
    require(request)
    return data.validation_result(mlflow_store.client(), run_id)


@router.get("/validations/{run_id}/docs")
def data_docs(request: Request, run_id: RunId) -> RedirectResponse:
    """To the results in the Data Docs of a validation run."""
    require(request)
    data.validation_run(mlflow_store.client(), run_id)
    return RedirectResponse(f"/api/validations/{run_id}/docs/{data.first_page(run_id)}")


@router.get("/validations/{run_id}/docs/{path:path}")
def data_docs_page(request: Request, run_id: RunId, path: str) -> FileResponse:
    """A page of the Data Docs that Great Expectations wrote; scripts in it do not run."""
    require(request)
    data.validation_run(mlflow_store.client(), run_id)
    folder = data.docs_folder(run_id)
    file = (folder / path).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise NotFoundError(f"The Data Docs of run {run_id} have no page {path!r}.")
    return FileResponse(file, headers={"Content-Security-Policy": FOREIGN_POLICY})
