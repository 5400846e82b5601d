"""Register: make a fitted detector a version of a registered model, as its challenger."""

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion
from mlflow.exceptions import MlflowException
from prefect import task

from models.errors import RegistryError
from tasks.packaging import package
from tasks.packaging.detector import Packaged
from tasks.platform.locks import Lock
from tasks.platform.outages import RETRIED, WRITE_SECONDS
from tasks.records import ModelVersion, Report, TrainedModel
from tasks.registry import card, lineage_record, mlflow_store, model_versions

ABOUT = (
    "Versions of one detector. The alias champion serves; challenger is the newest. Filter by the "
    "tags recipe, data_digest and decision."
)
"""Description of a registered model in MLflow's pages."""


@task(task_run_name="register {model_name}", timeout_seconds=WRITE_SECONDS, **RETRIED)
def register(detector: TrainedModel, report: Report, model_name: str) -> ModelVersion:
    """Return the version of a detector, which has the alias ``challenger`` unless a later one has.

    Nothing is registered unless the model loads. The version is created with all its tags at once,
    and the alias comes last but for its card. A run that is registered already keeps its version,
    so that a task which was killed can be run again.

    Raises:
        RegistryError: If the model does not load, or the evaluation is not its own.
    """
    client = mlflow_store.client()
    packaged = package.load(model_versions.folder(detector.model_uri))
    _check(detector, report, packaged)
    with Lock(f"{model_name}.register"):
        version = _existing(client, model_name, detector) or _create(
            client,
            model_name,
            detector,
            lineage_record.version_tags(packaged.lineage, packaged.digest, report),
            card.summary(packaged.lineage, report.metrics),
        )
        number = int(version.version)
        newest = model_versions.aliases(client, model_name).get(model_versions.CHALLENGER, 0)
        if newest < number:
            client.set_registered_model_alias(model_name, model_versions.CHALLENGER, str(number))
    card.publish(client, model_name, number)
    return ModelVersion(
        name=model_name,
        version=number,
        alias=model_versions.CHALLENGER if newest <= number else "",
        run_id=detector.run_id,
    )


def _check(detector: TrainedModel, report: Report, packaged: Packaged) -> None:
    trained_by = packaged.lineage["run_id"]
    if not detector.run_id == trained_by == report.run_id:
        raise RegistryError(
            "A detector is registered with its own run and its own evaluation: the run given is "
            f"{detector.run_id}, the model was trained by {trained_by}, and the report is about "
            f"{report.run_id}. Evaluate this detector first."
        )


def _existing(client: MlflowClient, name: str, detector: TrainedModel) -> RegisteredVersion | None:
    try:
        client.create_registered_model(name, description=f"{ABOUT} Trace: unseen trace {name}")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise RegistryError(
                f"The registry must take the model {name!r}, got: {error.message}."
            ) from error
    found = model_versions.versions(client, name)
    return next((each for each in found if each.run_id == detector.run_id), None)


def _create(
    client: MlflowClient, name: str, detector: TrainedModel, tags: dict[str, str], about: str
) -> RegisteredVersion:
    return client.create_model_version(
        name,
        source=detector.model_uri,
        run_id=detector.run_id,
        tags=tags,
        description=about,
        model_id=detector.model_uri.removeprefix("models:/"),
    )
