import numpy as np

from tasks.data import snapshots, thumbnails
from tasks.data.ingest import ingest
from tests.flows.tiny import write


def test_every_split_and_kind_has_a_row_with_pictures(repository):
    write(repository / "incoming", num_train=20, num_test=2)
    snapshot = snapshots.open_version(ingest.fn("mine", repository / "incoming"))
    sheet = np.asarray(thumbnails.sheet(snapshot))
    height = thumbnails.SIDE + thumbnails.TITLE + thumbnails.GAP
    assert sheet.shape[0] == 3 * height + thumbnails.GAP  # train/good, test/disc, test/good
    step = thumbnails.SIDE + thumbnails.GAP
    shown = [
        [
            bool(
                (
                    sheet[row * height + thumbnails.TITLE :][: thumbnails.SIDE, column * step :][
                        :, : thumbnails.SIDE
                    ]
                    < 200
                ).mean()
                > 0.2
            )
            for column in range(thumbnails.EACH)
        ]
        for row in range(3)
    ]
    assert [sum(row) for row in shown] == [8, 2, 2]


def test_of_a_clip_its_middle_frame_is_shown(settled):
    snapshot = snapshots.open_version(settled.clips)
    clip = snapshot.clips("test")[0]
    small = np.asarray(thumbnails._small(snapshot, clip))
    assert np.array_equal(small[..., 0], snapshot.read_clip(clip, None, 1)[4])
