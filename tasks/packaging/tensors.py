"""Tensors: by name, as files hold them and digests name them, and as a detector takes them."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: on the CPU, contiguous, none sharing memory."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def content(tensors: Mapping[str, Tensor]) -> bytes:
    """Names and values of tensors, in the order of the names, to be hashed."""
    named = sorted(plain(tensors).items())
    return b"".join(name.encode() + value.numpy().tobytes() for name, value in named)


def as_tensor(inputs: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Inputs (N, C, H, W) as float32 in [0, 1]; of overlapping windows each frame once.

    Windows as ``windows`` makes them share their frames, and so does the tensor: it is a view, and
    takes a sixth of the memory and of the time of a copy for windows of six frames.
    """
    num, window = inputs.shape[:2]
    if window == 1 or inputs.strides[0] != inputs.strides[1]:
        return torch.tensor(inputs, device=device).float().div_(255)
    frames = np.lib.stride_tricks.as_strided(
        inputs, (num + window - 1, *inputs.shape[2:]), inputs.strides[1:], writeable=False
    )
    values = torch.tensor(frames, device=device).float().div_(255)
    return values.unfold(0, window, 1).movedim(-1, 1)
