import torch

from models.functional.shared_frames import of_each_frame, shared_frames, windows_of

CLIP = torch.arange(7 * 2 * 3).reshape(7, 2, 3).float()


def test_windows_of_a_clip_lead_back_to_its_frames_without_a_copy():
    windows = windows_of(CLIP, 6)
    assert torch.equal(windows[1], CLIP[1:])
    frames = shared_frames(windows)
    assert torch.equal(frames, CLIP)
    assert frames.data_ptr() == CLIP.data_ptr()


def test_a_part_of_each_window_leads_back_to_those_frames():
    assert torch.equal(shared_frames(windows_of(CLIP, 6)[:, 2:5]), CLIP[2:6])


def test_copies_and_other_steps_are_not_taken_for_a_clip():
    windows = windows_of(CLIP, 4)
    assert shared_frames(windows.contiguous()) is None
    assert shared_frames(windows[::2]) is None
    assert shared_frames(windows[:, ::2]) is None


def test_frames_are_worked_on_once_and_results_are_the_same():
    seen = []

    def work(frames):
        seen.append(frames.shape)
        return frames.square()[..., 1:]

    windows = windows_of(CLIP, 4)
    once, each = of_each_frame(work, windows), of_each_frame(work, windows.contiguous())
    assert torch.equal(once, each)
    assert seen == [(1, 7, 2, 3), (4, 4, 2, 3)]
