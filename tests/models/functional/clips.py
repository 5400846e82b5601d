"""Clips for tests of movement."""

import torch


def moving_square(across, down=0, *, side, size):
    """A textured square that moves over a still background. Shape (1, 6, size, size).

    Args:
        across: Pixels to the right from one frame to the next.
        down: Pixels down.
        side: Side of the square, a multiple of 4; it begins as far from the top left corner.
        size: Side of the frames.
    """
    frames = torch.full((1, 6, size, size), 0.5)
    square = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    square = square.repeat_interleave(side // 4, 2).repeat_interleave(side // 4, 3)
    for t in range(6):
        top, left = side + down * t, side + across * t
        frames[0, t, top : top + side, left : left + side] = square[0, 0]
    return frames
