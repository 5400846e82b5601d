"""What is expected of a manifest, as Great Expectations' own expectations over its columns.

So the suite's JSON means the same without this project; each expectation carries a name in
``meta``. Importing this takes seconds and a quarter of a gigabyte: it is done when needed.
"""

import great_expectations.expectations as gxe
from great_expectations.expectations.row_conditions import Column

from tasks.data import suite_pixels
from tasks.data.kinds import NORMAL
from tasks.data.limits import Expectations
from tasks.data.suite_pixels import PICTURES, TRAIN, expect
from tasks.packaging.preprocessing import Levels

TEST = Column("split") == "test"


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
        *suite_pixels.pixels(levels),
        *_clips(limits),
        *(suite_pixels.rates(frame_rate) if frame_rate else ()),
        *_splits(limits),
        *suite_pixels.duplicates(),
        *_ground_truth(),
        *(_both_labels() if limits.anomalies else ()),
        *suite_pixels.contrast(limits),
        *(suite_pixels.intensity(limits, usual) if usual else ()),
    ]


def _files() -> list[gxe.Expectation]:
    return [
        expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "bytes_as_versioned",
            "every file is there, and its bytes have the md5 of the data version",
            column_A="md5",
            column_B="md5_read",
            ignore_row_if="neither",
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "every_file_decodes",
            "every image, mask, video and label file can be read",
            column="decodes",
            value_set=[True],
        ),
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "names_are_unique",
            "no two images or clips of a kind have the same name",
            column="rival",
        ),
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "every_file_has_a_place",
            "every file has a place in the layout of a data set, and the one that is meant",
            severity="warning",
            column="hint",
        ),
        expect(
            gxe.ExpectColumnValuesToNotBeInSet,
            "ground_truth_is_understood",
            "ground_truth/<kind>/ holds masks and label files (.txt) and nothing else",
            column="role",
            value_set=["truth"],
        ),
    ]


def _clips(limits: Expectations) -> list[gxe.Expectation]:
    return [
        expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "one_format_per_clip",
            "all frames of a clip have one size and mode",
            column_A="format",
            column_B="format_of_clip",
            row_condition=Column("format").is_not_null() & Column("format_of_clip").is_not_null(),
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "no_gaps_in_clips",
            f"frame numbers of a clip rise by {limits.frame_step}, without gaps or repetition",
            severity="critical" if limits.min_frames_per_clip > 1 else "warning",
            column="step",
            value_set=[limits.frame_step],
        ),
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "enough_frames_per_clip",
            f"every clip has at least {limits.min_frames_per_clip} frames",
            column="clip_length",
            min_value=limits.min_frames_per_clip,
        ),
    ]


def _splits(limits: Expectations) -> list[gxe.Expectation]:
    return [
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "train_and_test_are_disjoint",
            "no file of train/ has the same bytes as one of test/",
            column="twin",
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "train_is_normal",
            f"train/ holds nothing but the kind '{NORMAL}'",
            column="kind",
            value_set=[NORMAL],
            row_condition=TRAIN,
        ),
        expect(
            gxe.ExpectColumnSumToBeBetween,
            "enough_training_images",
            f"train/ has at least {limits.min_train_images} images or frames that decode",
            column="num_frames",
            min_value=limits.min_train_images,
            row_condition=TRAIN & PICTURES,
        ),
        *(_enough_test_images(limits) if limits.min_test_images else ()),
    ]


def _enough_test_images(limits: Expectations) -> list[gxe.Expectation]:
    return [
        expect(
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
        expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "no_orphaned_ground_truth",
            "every file of ground_truth/ belongs to an image, video or clip of test/",
            column="belongs_to",
            row_condition=truth,
        ),
        expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "masks_fit_their_images",
            "every mask has the size of its image",
            column_A="size",
            column_B="size_of_owner",
            row_condition=Column("size").is_not_null()
            & Column("size_of_owner").is_not_null()
            & (Column("role") == "mask"),
        ),
        expect(
            gxe.ExpectColumnPairValuesToBeEqual,
            "roi_fits_all_images",
            "the region of interest, roi.png, has the size that all images have",
            column_A="size",
            column_B="size_of_owner",
            row_condition=Column("size").is_not_null() & (Column("role") == "roi"),
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "ground_truth_is_complete",
            "a kind with ground truth has it for each of its images and clips",
            column="has_truth",
            value_set=[True],
        ),
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "masks_are_plausible",
            "masks of normal images are empty, others mark something, and all have two levels",
            severity="warning",
            column="doubt",
        ),
    ]


def _both_labels() -> list[gxe.Expectation]:
    return [
        expect(
            gxe.ExpectColumnDistinctValuesToContainSet,
            "both_labels_in_test",
            "test/ has normal and anomalous images, without which no ROC exists",
            severity="warning",
            column="label",
            value_set=["normal", "anomalous"],
            row_condition=TEST & PICTURES & (Column("label") != "mixed"),
        ),
    ]
