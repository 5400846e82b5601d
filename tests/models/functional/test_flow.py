import torch
from torch.nn import functional

from models.functional.flow import optical_flow


def texture(height=64, width=80):
    coarse = torch.rand(1, 1, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, size=(height, width), mode="bicubic")[:, 0].clamp(0, 1)


def moved(frame, across, down):
    return torch.roll(frame, (down, across), dims=(1, 2))


def test_a_shift_is_found_in_pixels_and_in_its_direction():
    frame = texture()
    for across, down in ((2, 0), (-3, 0), (0, 2), (4, -2)):
        flow = optical_flow(frame, moved(frame, across, down))[:, :, 12:-12, 12:-12]
        found = flow.mean(dim=(0, 2, 3))
        torch.testing.assert_close(found, torch.tensor([across, down]).float(), atol=0.4, rtol=0)


def test_nothing_moves_where_nothing_is_to_be_seen():
    flat = torch.full((2, 32, 33), 0.5)
    assert optical_flow(flat, flat + 0.01).abs().max() < 1e-3


def test_each_pair_of_frames_is_for_itself():
    frames = torch.cat([texture(), moved(texture(), 3, 0)])
    both = optical_flow(frames, moved(frames, 1, 1))
    torch.testing.assert_close(optical_flow(frames[1:], moved(frames[1:], 1, 1)), both[1:])
