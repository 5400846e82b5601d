"""Account: what is written down of every answer, by ``unseen serve`` and ``unseen watch`` alike."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client.core import Metric

from models.errors import InvalidInputError
from tasks.notices.dispatcher import Dispatcher
from tasks.packaging.detector import Prediction
from tasks.serving import prometheus
from tasks.serving.deployed import Deployed
from tasks.serving.kept_pictures import Keep, KeptPictures
from tasks.serving.monitoring.prediction_log import LoggedPrediction, PredictionLog


class Account:
    """Keeps the predictions of one model, and the pictures that they are about.

    Args:
        name: The registered model.
        log_predictions: Keep what was answered; see ``tasks.serving.monitoring.prediction_log``.
        keep: Keep pictures as well; none if None.

    Raises:
        InvalidInputError: If pictures are to be kept without the predictions that they got.
    """

    def __init__(
        self, name: str, *, log_predictions: bool = True, keep: Keep | None = None
    ) -> None:
        keeps = keep is not None and keep.policy != "none"
        if keeps and not log_predictions:
            raise InvalidInputError(
                "Pictures are kept to be judged with the predictions they got: --keep cannot be "
                "had with --no-log-predictions. Leave one of them out."
            )
        self.predictions = PredictionLog(name) if log_predictions else None
        self.dispatcher = Dispatcher()
        self.pictures = KeptPictures(name, keep) if keep is not None and keeps else None

    def start(self) -> None:
        """Begin to write."""
        for part in (self.predictions, self.pictures, self.dispatcher):
            if part:
                part.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        for part in (self.pictures, self.predictions, self.dispatcher):
            if part:
                part.stop()

    def enter(self, prediction: LoggedPrediction, contents: Sequence[bytes]) -> None:
        """Write down an answer; whatever goes wrong is counted, and never reaches who asked.

        Args:
            prediction: What was answered.
            contents: The files that it is about, in order; none of them if none is kept.
        """
        if self.predictions:
            self.predictions.put(prediction)
        if self.pictures:
            self.pictures.put(prediction, contents)
        if prediction.anomalous:
            self.dispatcher.put("alarm", prediction.model, _sentence(prediction))

    def tell(self) -> Iterator[Metric]:
        """What could not be kept, for Prometheus."""
        if self.predictions:
            text = "Predictions that were not kept."
            yield prometheus.counter("unlogged_predictions", text, self.predictions.lost)
        if self.pictures:
            text = "Pictures that should have been kept and were not."
            yield prometheus.counter("unkept_pictures", text, self.pictures.lost)
        text = "Alarms that nobody can be told of."
        yield prometheus.counter("untold_alarms", text, self.dispatcher.lost)


def _sentence(said: LoggedPrediction) -> str:
    """What an alarm is told by."""
    frames = f"{len(said.anomalous)} of {len(said.frames)} frames, " if len(said.frames) > 1 else ""
    source = f" from {said.client}" if said.client else ""
    return (
        f"Alarm of {said.model} version {said.version}{source}: {frames}p-value "
        f"{min(said.p_value):.3g}, prediction {said.request_id}."
    )


def logged(
    deployed: Deployed, found: Prediction, request_id: str, digests: Sequence[str], client: str = ""
) -> LoggedPrediction:
    """What is kept of an answer.

    Args:
        deployed: What answered.
        found: The answer.
        request_id: Under which it was given.
        digests: SHA-256 of the files that it is about, in order.
        client: Name of the key that was used, or of the source that was watched.
    """
    frames = found.frame_index
    return LoggedPrediction(
        request_id=request_id,
        when=datetime.now(UTC).isoformat(timespec="milliseconds"),
        client=client,
        model=deployed.name,
        version=deployed.version,
        model_digest=deployed.packaged.digest,
        data_digest=deployed.packaged.lineage["data"]["digest"],
        files=tuple(digests),
        threshold=found.threshold,
        frames=tuple(frames.tolist()),
        image_score=tuple(found.image_score.tolist()),
        p_value=tuple(found.p_value.tolist()),
        anomalous=tuple(frames[found.anomalous].tolist()),
    )
