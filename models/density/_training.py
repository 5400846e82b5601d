"""How a density model is trained: from its seed, on shuffled images, at one cycle of the rate.

Shapes: B = batch, C = channels, H W = image.
"""

from collections.abc import Callable, Iterable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from models.contracts import Encoder, Progress
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises to its maximum."""


def require_pixels(encoder: Encoder, model: str) -> None:
    """Refuse an encoder that changes the images: a density of features could draw no images.

    Raises:
        InvalidInputError: If it is not ``Pixels``.
    """
    if not isinstance(encoder, Pixels):
        raise InvalidInputError(
            f"{model} must learn from pixels, got the encoder {type(encoder).__name__}. Set "
            "encoder=Pixels.Config() and pretext=None in the recipe."
        )


def start_again(model: nn.Module, seed: int) -> None:
    """Forget what was learned: first weights from a seed, whatever the global one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Tensor], Tensor],
    images: Shuffled,
    *,
    settings: tuple[int, int, float],
    fabric: Fabric,
    progress: Progress,
    description: str,
    smallest: int = 1,
) -> list[float]:
    """Minimise a loss by Adam; the rate rises, then falls to 0 along a half cosine.

    Args:
        model: To be trained; left in evaluation mode.
        loss_of: Loss of the model on a batch of images.
        images: What to train on.
        settings: Passes over the images, batch size, largest learning rate.
        fabric: Device and precision.
        progress: Shows the batches of all epochs.
        description: What it shows.
        smallest: Images that a batch must have: 2 for batch norm. What remains is left out of an
            epoch, each time another image.

    Returns:
        Mean loss of each epoch.

    Raises:
        TrainingError: If there are fewer than ``smallest`` images, or the loss is not finite.
    """
    epochs, batch_size, learning_rate = settings
    if len(images) < smallest:
        raise TrainingError(
            f"{description} needs at least {smallest} images, got {len(images)}. Add some to "
            "train/good."
        )
    full, rest = divmod(len(images), batch_size)
    total = epochs * (full + (rest >= smallest))
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    schedule = OneCycleLR(
        optimizer, learning_rate, total_steps=total + 1, pct_start=WARM_UP, cycle_momentum=False
    )
    _lay_out(model, torch.channels_last)  # trains small networks 1.5 times as fast on a CPU
    wrapped, optimizer = fabric.setup(model.train(), optimizer)
    sums: list[list[float]] = [[] for _ in range(epochs)]
    steps = (
        (epoch, batch)
        for epoch in range(epochs)
        for _, batch in images.epoch(batch_size)
        if len(batch) >= smallest
    )
    shown: Iterable[tuple[int, Tensor]] = progress(steps, total=total, description=description)
    for epoch, batch in shown:
        loss = loss_of(wrapped, fabric.to_device(batch))
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        schedule.step()
        sums[epoch].append(_finite(loss, epoch))
    _lay_out(model.eval(), torch.contiguous_format)
    return [sum(losses) / len(losses) for losses in sums]


def _lay_out(model: nn.Module, order: torch.memory_format) -> None:
    """Keep the weights of convolutions in another order in memory; they stay the same."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(memory_format=order)


def _finite(loss: Tensor, epoch: int) -> float:
    value = loss.item()
    if not loss.isfinite():
        raise TrainingError(
            f"The loss must be finite, got {value} in epoch {epoch + 1}. Lower learning_rate, and "
            "check the images for NaN."
        )
    return value
