"""Predictions and kept pictures as ``unseen serve --keep`` leaves them, without a server."""

import hashlib
from collections.abc import Sequence

from tasks.serving.kept_pictures import Keep, KeptPictures
from tasks.serving.monitoring.prediction_log import LoggedPrediction, PredictionLog


def scored(name: str, *requests: Sequence[tuple[bytes, float]], first: int = 0) -> None:
    """Log requests, each a list of (content, p-value); every p-value below 0.05 is an alarm."""
    log, pictures = PredictionLog(name), KeptPictures(name, Keep(policy="all"))
    log.start()
    pictures.start()
    for number, files in enumerate(requests, start=first):
        contents = [content for content, _ in files]
        p_values = tuple(p_value for _, p_value in files)
        said = LoggedPrediction(
            request_id=f"r{number}",
            when=f"2026-01-01T00:00:{number:02}.000+00:00",
            client="",
            model=name,
            version=1,
            model_digest="a" * 64,
            data_digest="b.dir",
            files=tuple(hashlib.sha256(content).hexdigest() for content in contents),
            threshold=0.95,
            frames=tuple(range(len(files))),
            image_score=tuple(1 - p_value for p_value in p_values),
            p_value=p_values,
            anomalous=tuple(i for i, p_value in enumerate(p_values) if p_value < 0.05),
        )
        log.put(said)
        pictures.put(said, contents)
    log.stop()
    pictures.stop()
