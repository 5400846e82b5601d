"""Recipes: complete, typed configurations of a training run.

``from flows.recipes import Recipe`` and its parts is what a recipe file of your own needs.
"""

from flows.recipes.embedded import (
    digit_clusters,
    digits,
    digits_alocc,
    digits_knn,
    digits_lsa,
    digits_pixel_cnn,
    ped2,
    walkway,
    walkway_autoregressive,
    walkway_exemplars,
    walkway_jigsaw,
    walkway_pooled,
    walkway_transformations,
    walkway_triplets,
)
from flows.recipes.find import load, names
from flows.recipes.recipe import Recipe, check_divisible, describe
from tasks.data.limits import Expectations
from tasks.records import Training
from tasks.registry.policy import PromotionPolicy

__all__ = [
    "Expectations",
    "PromotionPolicy",
    "Recipe",
    "Training",
    "check_divisible",
    "describe",
    "digit_clusters",
    "digits",
    "digits_alocc",
    "digits_knn",
    "digits_lsa",
    "digits_pixel_cnn",
    "load",
    "names",
    "ped2",
    "walkway",
    "walkway_autoregressive",
    "walkway_exemplars",
    "walkway_jigsaw",
    "walkway_pooled",
    "walkway_transformations",
    "walkway_triplets",
]
