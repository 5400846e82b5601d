"""What is expected of the pixels in a manifest, as Great Expectations' own expectations.

Importing this takes seconds and a quarter of a gigabyte: it is done when needed.
"""

from collections.abc import Mapping
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations.row_conditions import Column

from tasks.data.extension import OURS
from tasks.data.limits import Expectations
from tasks.packaging.preprocessing import RATE_TOLERANCE, Levels

TRAIN = Column("split") == "train"
PICTURES = Column("role").is_in(["image", "video"])


def expect(
    kind: type[gxe.Expectation],
    name: str,
    description: str,
    *,
    severity: str = "critical",
    **arguments: Any,
) -> gxe.Expectation:
    """An expectation with a name; its failure stops a training unless it is a ``warning``."""
    return kind(
        meta={"name": name, **OURS}, description=description, severity=severity, **arguments
    )


def pixels(levels: Levels | None) -> list[gxe.Expectation]:
    """What is expected of bits and pages."""
    scaled = (
        f"; others are scaled to 8, {levels[0]:g} black and {levels[1]:g} white" if levels else ""
    )
    return [
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "images_have_8_bits",
            f"every image has 8 bits a channel{scaled}",
            severity="warning",
            column="bits",
            max_value=8,
            row_condition=PICTURES,
        ),
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "one_page_per_image",
            "every image file has one page; of others the first page is read",
            severity="warning",
            column="num_pages",
            max_value=1,
            row_condition=Column("role") == "image",
        ),
    ]


def rates(frame_rate: float) -> list[gxe.Expectation]:
    """What is expected of the frame rates of videos."""
    return [
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "one_frame_rate",
            f"every video has {frame_rate:g} frames per second, as most training videos; speeds "
            "depend on it",
            severity="warning",
            column="frame_rate",
            min_value=round(frame_rate / RATE_TOLERANCE, 3),
            max_value=round(frame_rate * RATE_TOLERANCE, 3),
        )
    ]


def duplicates() -> list[gxe.Expectation]:
    """What is expected of images that show nearly the same."""
    return [
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "no_near_duplicates_across_splits",
            "no image of train/ shows nearly the same as one of test/",
            severity="warning",
            column="near",
        ),
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "no_near_duplicates_in_training",
            "no two images of train/ show nearly the same; none calibrates what its copy taught",
            severity="warning",
            column="copy",
        ),
    ]


def contrast(limits: Expectations) -> list[gxe.Expectation]:
    """What is expected of the contrast of every image."""
    common: dict[str, Any] = {
        "column": "contrast",
        "min_value": 0,
        "strict_min": True,
        "row_condition": PICTURES,
    }
    return _tolerant(
        ("no_constant_images", "no image is constant"),
        (
            "few_constant_images",
            f"at most {limits.tolerated_share * 100:g}% of images are constant",
        ),
        limits.tolerated_share,
        common,
    )


def intensity(limits: Expectations, usual: tuple[float, float]) -> list[gxe.Expectation]:
    """What is expected of the mean gray levels of training images."""
    low = round(usual[0] - limits.intensity_tolerance, 6)
    high = round(usual[1] + limits.intensity_tolerance, 6)
    common = {"column": "mean", "min_value": low, "max_value": high, "row_condition": TRAIN}
    where = f"[{low:.3f}, {high:.3f}], about where the champion's training images have it"
    few = f"at most {limits.tolerated_share * 100:g}% of training images"
    return _tolerant(
        (
            "intensity_as_the_champions",
            f"every training image has its mean gray level in {where}",
        ),
        (
            "intensity_mostly_as_the_champions",
            f"{few} have their mean gray level outside {where}",
        ),
        limits.tolerated_share,
        common,
    )


def _tolerant(
    every: tuple[str, str], most: tuple[str, str], share: float, common: Mapping[str, Any]
) -> list[gxe.Expectation]:
    """A warning if one image is out of bounds, a failure if more than a share of them are.

    Args:
        every: Name and description of what gives the warning.
        most: Name and description of what fails.
        share: Of images that may be out of bounds.
        common: Column, bounds and rows.
    """
    between = gxe.ExpectColumnValuesToBeBetween
    return [
        expect(between, *every, severity="warning", **common),
        expect(between, *most, mostly=1 - share, **common),
    ]
