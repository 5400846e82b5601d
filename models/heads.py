"""Head of the pretext tasks that classify: from a feature map to classes, and then thrown away.

Shapes: B = batch, D = features, h w = feature map, E = width, K = classes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

GRID = 3
"""Rows and columns of the averages of a feature map that are classified: keeps what is where."""


class Classifier(nn.Module):
    """Average the feature map over a coarse grid, then one hidden layer with batch normalisation.

    Without the normalisation, a softmax over many classes stays at chance for a long time.

    Args:
        embedding_dim: Features D.
        width: Units E of the hidden layer.
        num_classes: Classes K.
        seed: Of the first weights; torch's global generator is left alone.
    """

    def __init__(self, embedding_dim: int, width: int, num_classes: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.hidden = nn.Sequential(
                nn.AdaptiveAvgPool2d(GRID),
                nn.Flatten(),
                nn.Linear(GRID**2 * embedding_dim, width, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            )
            self.classes = nn.Linear(width, num_classes)

    def forward(self, feature_map: Float[Tensor, "B D h w"]) -> Float[Tensor, "B K"]:
        """Return one logit for each class."""
        logits: Tensor = self.classes(self.hidden(feature_map))
        return logits
