import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc import _validate_prediction_input

from tasks.packaging.signature import signature


def test_it_survives_being_written_and_read():
    written = signature(6).to_dict()
    assert ModelSignature.from_dict(written) == signature(6)


def test_inputs_of_any_size_and_no_other_type_or_channels_are_taken():
    taken = signature(3).inputs
    image = np.zeros((2, 3, 5, 7), np.uint8)
    assert _enforce_schema(image, taken).shape == image.shape
    for wrong in (image.astype(np.float64), image[:, :2]):
        with pytest.raises(MlflowException):
            _enforce_schema(wrong, taken)


def test_maps_come_only_when_asked_for():
    image = np.zeros((1, 3, 5, 7), np.uint8)
    _, given = _validate_prediction_input(image, None, signature(3).inputs, signature(3).params)
    assert given == {"anomaly_map": False}
