"""Permutations that differ in many places: the classes of a jigsaw puzzle.

Shapes: K = permutations of a set, N = tiles.

A permutation p puts tile ``p[k]`` in place k, so ``shuffled = tiles[p]``.
"""

from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from models.errors import InvalidInputError

MAX_TILES = 9
"""All 9! = 362,880 permutations fit into a few megabytes; those of 16 tiles do not."""


def permutation_set(num: int, tiles: int = 9, seed: int = 0) -> Int[Tensor, "K N"]:
    """Choose permutations that are far from each other in Hamming distance.

    Greedy: a random one first, then again and again the one whose smallest distance to those chosen
    is largest; among equals the one of largest mean distance, then one at random. The authors look
    at the mean alone, which leaves pairs that differ in two tiles only.

    Args:
        num: Permutations K to choose, in [1, N!].
        tiles: Tiles N, in [2, 9].
        seed: Of the first permutation and of the choice among equals.

    Raises:
        InvalidInputError: If ``num`` or ``tiles`` is out of range.

    Example:
        >>> permutation_set(3, tiles=3).sum(dim=0)  # disjoint: each tile once in each place
        tensor([3, 3, 3])

    References:
        Noroozi and Favaro, 2016, "Unsupervised Learning of Visual Representations by Solving Jigsaw
        Puzzles", section 4.2, algorithm 1. https://arxiv.org/abs/1603.09246
    """
    if not 2 <= tiles <= MAX_TILES:
        raise InvalidInputError(f"tiles must be in [2, {MAX_TILES}], got {tiles}.")
    most = int(np.prod(np.arange(1, tiles + 1)))
    if not 1 <= num <= most:
        raise InvalidInputError(f"num must be in [1, {most}] for {tiles} tiles, got {num}.")
    return torch.from_numpy(_chosen(num, tiles, seed).astype(np.int64))


def hamming_distances(chosen: Int[Tensor, "K N"]) -> Int[Tensor, "K K"]:
    """Number of places in which each two permutations differ."""
    return (chosen[:, None] != chosen[None]).sum(dim=2)


def minimum_distance(chosen: Int[Tensor, "K N"]) -> int:
    """Smallest Hamming distance between two of at least two permutations."""
    return int(_between(chosen).min())


def mean_distance(chosen: Int[Tensor, "K N"]) -> float:
    """Mean Hamming distance between two of at least two permutations."""
    return float(_between(chosen).mean())


def inverse(chosen: Int[Tensor, "*K N"]) -> Int[Tensor, "*K N"]:
    """The permutations that undo these: ``tiles[p][inverse(p)]`` is ``tiles``."""
    return chosen.argsort(dim=-1)


def are_inverse(first: Int[Tensor, "*K N"], second: Int[Tensor, "*K N"]) -> Bool[Tensor, "*K"]:
    """Whether each permutation of the first set is undone by its partner in the second."""
    places = torch.arange(first.shape[-1], device=first.device)
    return (first.gather(-1, second) == places).all(dim=-1)


def _between(chosen: Tensor) -> Float[Tensor, "P"]:
    first, second = torch.triu_indices(len(chosen), len(chosen), offset=1)
    return hamming_distances(chosen)[first, second].double()


@lru_cache(maxsize=16)
def _chosen(num: int, tiles: int, seed: int) -> NDArray[np.int8]:
    draw = np.random.default_rng(seed)
    everyone = np.array(list(permutations(range(tiles))), dtype=np.int8)
    everyone = everyone[draw.permutation(len(everyone))]  # the first of equals is a random one
    columns = np.ascontiguousarray(everyone.T)
    nearest = np.full(len(everyone), tiles, dtype=np.int64)
    total = np.zeros(len(everyone), dtype=np.int64)
    places = [0]
    while len(places) < num:
        distance = (columns != columns[:, places[-1], None]).sum(axis=0)
        nearest, total = np.minimum(nearest, distance), total + distance
        places.append(int(np.argmax(nearest * (tiles * num + 1) + total)))
    return everyone[places]
