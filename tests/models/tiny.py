"""The smallest encoder that a model can be tested on: batch norm catches a forgotten ``eval()``."""

from dataclasses import dataclass

from torch import nn

from models.contracts import Encoder
from models.functional.mean_frames import mean_frames
from models.functional.receptive_field import Layer, receptive_field


class Tiny(Encoder):
    @dataclass(frozen=True, kw_only=True)
    class Config:
        embedding_dim: int = 6

        def build(self):
            return Tiny(self)

    def __init__(self, config=None):
        super().__init__()
        self.config = config or Tiny.Config()
        self.embedding_dim = self.config.embedding_dim
        self.receptive_field = receptive_field([Layer(5, 2, 2)])
        self.layers = nn.Sequential(
            nn.Conv2d(3, self.embedding_dim, kernel_size=5, stride=2, padding=2),
            nn.BatchNorm2d(self.embedding_dim),
            nn.ReLU(),
        )

    def forward(self, images):
        return self.layers(mean_frames(images))
