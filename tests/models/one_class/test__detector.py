import pytest
import torch

from models.contracts import Scores
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.one_class._detector import OneClassDetector, check_rate


class Brightness(OneClassDetector):
    """Scores by the mean gray level over the darkest training image's."""

    def __init__(self, rate=0.25):
        super().__init__(Pixels.Config().build(), rate)
        self.learn_buffers(darkest_=())

    def _learn(self, batches, *_):
        self.darkest_.fill_(min(float(b.mean(dim=(1, 2, 3)).min()) for b in batches))

    def _score(self, images):
        return Scores(images.mean(dim=(1, 2, 3)) - self.darkest_.float())


def flat(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 1, 2, 2)


def test_the_threshold_is_the_smallest_that_so_few_calibration_images_reach():
    detector = Brightness().fit([flat(0.25, 0.5)], [flat(0.5, 0.75), flat(1.0, 0.25)])
    assert 0.5 < detector.threshold < 0.5 + 1e-6  # one image of four, the brightest, lies above
    assert detector.pixel_threshold == detector.threshold


def test_its_statistics_are_its_own_buffers():
    detector = Brightness().fit([flat(0.25)], [flat(0.5)])
    assert set(detector.statistics()) == {"threshold", "darkest"}
    assert float(detector.statistics()["darkest"]) == 0.25


def test_a_fit_that_fails_leaves_nothing_half_fitted():
    detector = Brightness().fit([flat(0.25)], [flat(0.5)])
    with pytest.raises(TrainingError, match="calibration images, got none"):
        detector.fit([flat(0.25)], [])
    with pytest.raises(NotFittedError, match="Brightness is not fitted"):
        detector(flat(0.5))


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(TrainingError, match="must be finite"):
        Brightness().fit([flat(0.25)], [flat(torch.nan)])


def test_it_stays_in_evaluation_mode():
    assert not Brightness().train().training


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(InvalidInputError, match=r"false_alarm_rate must be in \(0, 1\)"):
        check_rate(rate)
