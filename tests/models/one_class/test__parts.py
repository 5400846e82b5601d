import torch

from models.functional.shared_frames import shared_frames, windows_of
from models.one_class import _parts
from models.one_class._parts import parts


def test_parts_in_order_are_the_batch(monkeypatch):
    monkeypatch.setattr(_parts, "PART_PIXELS", 2 * 4 * 5)
    images = torch.rand(5, 6, 4, 5)
    found = parts(images)
    assert [len(part) for part in found] == [2, 2, 1]
    assert torch.equal(torch.cat(found), images)


def test_an_image_larger_than_a_part_is_a_part(monkeypatch):
    monkeypatch.setattr(_parts, "PART_PIXELS", 3)
    assert [len(part) for part in parts(torch.rand(2, 1, 4, 5))] == [1, 1]


def test_parts_of_windows_of_a_clip_share_its_frames(monkeypatch):
    monkeypatch.setattr(_parts, "PART_PIXELS", 2 * 4 * 5)
    clip = torch.rand(9, 4, 5)
    second = parts(windows_of(clip, 6))[1]
    assert torch.equal(shared_frames(second), clip[2:])


def test_no_images_are_one_part():
    assert [len(part) for part in parts(torch.rand(0, 1, 4, 5))] == [0]
