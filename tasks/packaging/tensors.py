"""Tensors by name, as files hold them and as digests name them."""

from collections.abc import Mapping

from torch import Tensor


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: on the CPU, contiguous, none sharing memory."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def content(tensors: Mapping[str, Tensor]) -> bytes:
    """Names and values of tensors, in the order of the names, to be hashed."""
    named = sorted(plain(tensors).items())
    return b"".join(name.encode() + value.numpy().tobytes() for name, value in named)
