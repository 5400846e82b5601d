"""Reservoir: a uniform sample of a stream, in bounded memory.

Shapes: N = samples of one batch, M = samples kept, D = features.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor


class Reservoir:
    """Keep those samples of a stream that drew the smallest random keys.

    Which samples are kept depends on their order in the stream and on the seed, not on how the
    stream is cut into batches.

    Args:
        capacity: Most samples to keep.
        seed: Of the keys.

    Attributes:
        num_seen: Samples that were offered.

    References:
        Efraimidis and Spirakis, 2006, "Weighted random sampling with a reservoir", algorithm A-Res
        with equal weights. https://doi.org/10.1016/j.ipl.2005.11.003
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        self.capacity = capacity
        self.num_seen = 0
        self._draw = Generator().manual_seed(seed)
        self._keys = torch.empty(0, dtype=torch.float64)
        self._kept: Tensor | None = None

    def update(self, samples: Float[Tensor, "N D"]) -> None:
        """Offer more samples."""
        self.num_seen += len(samples)
        keys = torch.rand(len(samples), dtype=torch.float64, generator=self._draw)
        if len(self._keys) == self.capacity:
            chosen = (keys < self._keys[-1]).nonzero()[:, 0]
            keys, samples = keys[chosen], samples[chosen.to(samples.device)]
        offered = samples.detach().cpu()
        kept = offered if self._kept is None else torch.cat([self._kept, offered])
        keys = torch.cat([self._keys, keys])
        order = keys.argsort(stable=True)[: self.capacity]
        self._keys, self._kept = keys[order], kept[order]

    def samples(self) -> Float[Tensor, "M D"]:
        """What was kept, in random order.

        Raises:
            ValueError: If the stream was empty.
        """
        if self._kept is None:
            raise ValueError("A reservoir must be given samples before it is read, got none.")
        return self._kept
