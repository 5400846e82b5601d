"""What is expected of a manifest, as Great Expectations' own expectations over its columns.

So the suite's JSON means the same without this project; each expectation carries a name in
``meta``. Importing this takes seconds and a quarter of a gigabyte: it is done when needed.
"""

from collections.abc import Mapping
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations.row_conditions import Column

from tasks.data.kinds import NORMAL
from tasks.data.limits import Expectations
from tasks.packaging.preprocessing import RATE_TOLERANCE, Levels

TRAIN = Column("split") == "train"
TEST = Column("split") == "test"
PICTURES = Column("role").is_in(["image", "video"])


def build(
    limits: Expectations,
    usual: tuple[float, float] | None,
    levels: Levels | None = None,
    frame_rate: float | None = None,
) -> list[gxe.Expectation]:
    """The expectations of a suite.

    Args:
        limits: The numbers in them.
        usual: Range of the champion's training images, in mean gray level; None leaves out the
            expectations about it.
        levels: Black and white of the images of more than 8 bits; None if there are none.
        frame_rate: Of the training videos; None leaves out what is expected of others.
    """
    return [
        *_files(),
        *_pixels(levels),
        *_clips(limits),
        *(_rates(frame_rate) if frame_rate else ()),
        *_splits(limits),
        *_duplicates(),
        *_ground_truth(),
        *(_both_labels() if limits.anomalies else ()),
        *_contrast(limits),
        *(_intensity(limits, usual) if usual else ()),
    ]


def _expect(
    kind: type[gxe.Expectation],
    name: str,
    description: str,
    *,
    severity: str = "critical",
    **arguments: Any,
) -> gxe.Expectation:
    return kind(meta={"name": name}, description=description, severity=severity, **arguments)


def _files() -> list[gxe.Expectation]:
    return [
        _expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "bytes_as_versioned",
            "every file is there, and its bytes have the md5 of the data version",
            column_A="md5",
            column_B="md5_read",
            ignore_row_if="neither",
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "every_file_decodes",
            "every image, mask, video and label file can be read",
            column="decodes",
            value_set=[True],
        ),
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "names_are_unique",
            "no two images or clips of a kind have the same name",
            column="rival",
        ),
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "every_file_has_a_place",
            "every file has a place in the layout of a data set, and the one that is meant",
            severity="warning",
            column="hint",
        ),
        _expect(
            gxe.ExpectColumnValuesToNotBeInSet,
            "ground_truth_is_understood",
            "ground_truth/<kind>/ holds masks and label files (.txt) and nothing else",
            column="role",
            value_set=["truth"],
        ),
    ]


def _pixels(levels: Levels | None) -> list[gxe.Expectation]:
    scaled = (
        f"; others are scaled to 8, {levels[0]:g} black and {levels[1]:g} white" if levels else ""
    )
    return [
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "images_have_8_bits",
            f"every image has 8 bits a channel{scaled}",
            severity="warning",
            column="bits",
            max_value=8,
            row_condition=PICTURES,
        ),
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "one_page_per_image",
            "every image file has one page; of others the first page is read",
            severity="warning",
            column="num_pages",
            max_value=1,
            row_condition=Column("role") == "image",
        ),
    ]


def _rates(frame_rate: float) -> list[gxe.Expectation]:
    return [
        _expect(
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


def _duplicates() -> list[gxe.Expectation]:
    return [
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "no_near_duplicates_across_splits",
            "no image of train/ shows nearly the same as one of test/",
            severity="warning",
            column="near",
        ),
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "no_near_duplicates_in_training",
            "no two images of train/ show nearly the same; they learn or calibrate together",
            severity="warning",
            column="copy",
        ),
    ]


def _clips(limits: Expectations) -> list[gxe.Expectation]:
    return [
        _expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "one_format_per_clip",
            "all frames of a clip have one size and mode",
            column_A="format",
            column_B="format_of_clip",
            row_condition=Column("format").is_not_null() & Column("format_of_clip").is_not_null(),
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "no_gaps_in_clips",
            f"frame numbers of a clip rise by {limits.frame_step}, without gaps or repetition",
            severity="critical" if limits.min_frames_per_clip > 1 else "warning",
            column="step",
            value_set=[limits.frame_step],
        ),
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "enough_frames_per_clip",
            f"every clip has at least {limits.min_frames_per_clip} frames",
            column="clip_length",
            min_value=limits.min_frames_per_clip,
        ),
    ]


def _splits(limits: Expectations) -> list[gxe.Expectation]:
    return [
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "train_and_test_are_disjoint",
            "no file of train/ has the same bytes as one of test/",
            column="twin",
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "train_is_normal",
            f"train/ holds nothing but the kind '{NORMAL}'",
            column="kind",
            value_set=[NORMAL],
            row_condition=TRAIN,
        ),
        _expect(
            gxe.ExpectColumnSumToBeBetween,
            "enough_training_images",
            f"train/ has at least {limits.min_train_images} images or frames that decode",
            column="num_frames",
            min_value=limits.min_train_images,
            row_condition=TRAIN & PICTURES,
        ),
        _expect(
            gxe.ExpectColumnSumToBeBetween,
            "enough_test_images",
            f"test/ has at least {limits.min_test_images} images or frames that decode",
            column="num_frames",
            min_value=limits.min_test_images,
            row_condition=TEST & PICTURES,
        ),
    ]


def _ground_truth() -> list[gxe.Expectation]:
    truth = Column("role").is_in(["mask", "labels"])
    return [
        _expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "no_orphaned_ground_truth",
            "every file of ground_truth/ belongs to an image, video or clip of test/",
            column="belongs_to",
            row_condition=truth,
        ),
        _expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "masks_fit_their_images",
            "every mask has the size of its image",
            column_A="size",
            column_B="size_of_owner",
            row_condition=Column("size").is_not_null()
            & Column("size_of_owner").is_not_null()
            & (Column("role") == "mask"),
        ),
        _expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "roi_fits_all_images",
            "the region of interest, roi.png, has the size that all images have",
            column_A="size",
            column_B="size_of_owner",
            row_condition=Column("size").is_not_null() & (Column("role") == "roi"),
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "ground_truth_is_complete",
            "a kind with ground truth has it for each of its images and clips",
            column="has_truth",
            value_set=[True],
        ),
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "masks_are_plausible",
            "masks of normal images are empty, others mark something, and all have two levels",
            severity="warning",
            column="doubt",
        ),
    ]


def _both_labels() -> list[gxe.Expectation]:
    return [
        _expect(
            gxe.ExpectColumnDistinctValuesToContainSet,
            "both_labels_in_test",
            "test/ has normal and anomalous images, without which no ROC exists",
            severity="warning",
            column="label",
            value_set=["normal", "anomalous"],
            row_condition=TEST & PICTURES & (Column("label") != "mixed"),
        ),
    ]


def _contrast(limits: Expectations) -> list[gxe.Expectation]:
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


def _intensity(limits: Expectations, usual: tuple[float, float]) -> list[gxe.Expectation]:
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
        _expect(between, *every, severity="warning", **common),
        _expect(between, *most, mostly=1 - share, **common),
    ]
