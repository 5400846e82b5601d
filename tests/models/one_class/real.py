"""Real handwritten digits, small enough to train on in a test: zeros are normal."""

import torch
from sklearn.datasets import load_digits


def zeros_and_others():
    """Zeros to train on, zeros to calibrate with, other zeros, and other digits; 8 x 8 pixels."""
    flat, digits = load_digits(return_X_y=True)
    images = torch.from_numpy(flat).float().view(-1, 1, 8, 8) / 16
    zeros, others = images[digits == 0], images[digits != 0]
    return zeros[:110], zeros[110:145], zeros[145:], others[::10]
