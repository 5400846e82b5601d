"""How a clustering autoencoder is trained: the hyper-parameters of both stages."""

from dataclasses import dataclass

from models.errors import InvalidInputError

STARTS = ("k-means", "spectral")
"""How the clusters are found that the second stage sharpens: balls about centroids, or what a graph
of nearest neighbours falls into."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Hyper-parameters of both stages; the defaults are DCEC's."""

    epochs: int = 200
    """Passes of the first stage, which only reconstructs, >= 1."""
    start: str = "k-means"
    """How the clusters are found that the second stage starts from, one of ``STARTS``."""
    start_shift: float = 0.0
    """Largest shift, in sides, each way, of the views that link images at a spectral start, in
    [0, 0.5)."""
    start_rotation: float = 0.0
    """Largest rotation of these views, in degrees, each way, in [0, 180]; if both are 0, images are
    linked by their own neighbours alone."""
    max_iterations: int = 20_000
    """Steps of the second stage, at most, >= 1."""
    adoption: int = 0
    """First steps of the second stage that teach the network the clusters of the start themselves,
    before the target is made of its own assignment, >= 0."""
    update_interval: int = 140
    """Steps from one refresh of the target to the next, >= 1."""
    tolerance: float = 1e-3
    """Share of images that changed their cluster between refreshes below which it stops, >= 0."""
    batch_size: int = 256
    """Images of one step, >= 1."""
    learning_rate: float = 1e-3
    """Of Adam, > 0."""
    peak_rate: float = 0.0
    """Of Adam in the first stage, which then has one cycle: up to this rate, and down to 0; 0 keeps
    it at ``learning_rate``. >= 0."""
    gamma: float = 0.1
    """Weight of the divergence from the target in the second stage, > 0; the squared error there
    is a mean over pixels."""
    reconstruction: float = 1.0
    """Weight of the squared error in the second stage, >= 0; 0 leaves the decoder out."""
    shift: float = 0.0
    """Largest shift of an image in training, in sides, each way, in [0, 0.5)."""
    rotation: float = 0.0
    """Largest rotation of an image in training, in degrees, each way, in [0, 180]."""

    def __post_init__(self) -> None:
        counts = (self.epochs, self.max_iterations, self.update_interval, self.batch_size)
        if min(counts) < 1:
            raise InvalidInputError(
                "epochs, max_iterations, update_interval and batch_size must be >= 1, got "
                f"{', '.join(map(str, counts))}."
            )
        if self.start not in STARTS:
            raise InvalidInputError(
                f"start must be one of {', '.join(STARTS)}, got {self.start!r}."
            )
        if min(self.learning_rate, self.gamma) <= 0 or self.reconstruction < 0:
            raise InvalidInputError(
                "learning_rate and gamma must be > 0 and reconstruction >= 0, got "
                f"{self.learning_rate}, {self.gamma} and {self.reconstruction}."
            )
        shifts, turns = (self.shift, self.start_shift), (self.rotation, self.start_rotation)
        if not (0 <= min(shifts) <= max(shifts) < 0.5 and 0 <= min(turns) <= max(turns) <= 180):
            raise InvalidInputError(
                "shift and start_shift must be in [0, 0.5), rotation and start_rotation in "
                f"[0, 180], got {self.shift}, {self.start_shift}, {self.rotation} and "
                f"{self.start_rotation}."
            )
        if min(self.tolerance, self.peak_rate, self.adoption) < 0:
            raise InvalidInputError(
                "tolerance, peak_rate and adoption must be >= 0, got "
                f"{self.tolerance}, {self.peak_rate} and {self.adoption}."
            )


AUGMENTED = Schedule(
    epochs=500,
    peak_rate=3e-3,
    start="spectral",
    start_shift=0.06,
    start_rotation=15.0,
    adoption=120,
    update_interval=30,
    gamma=1.0,
    reconstruction=0.0,
    shift=0.1,
    rotation=10.0,
)
"""ConvDEC-DA's: shifted and turned images in both stages, the divergence alone in the second. The
interval is that for some ten thousand images; theirs for seventy thousand is 140. What is not
theirs, but chosen on images of MNIST's training file: they start from k-means, which merges and
splits digits, and keep the rate. From a spectral start that is taught first, and with a cycle of
the rate, ten epochs are enough.

Guo, Zhu, Liu and Yin, 2018, "Deep Embedded Clustering with Data Augmentation"."""
