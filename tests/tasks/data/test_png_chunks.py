import pytest

from tasks.data import png_chunks
from tests.tasks.pictures import picture, save


def test_a_whole_file_passes_with_whatever_follows_it(tmp_path):
    content = save(tmp_path / "a.png", picture(0)).read_bytes()
    assert png_chunks.check(content) is None
    assert png_chunks.check(content + b"more") is None


@pytest.mark.parametrize(("place", "chunk"), [(20, "IHDR"), (60, "IDAT"), (-2, "IEND")])
def test_a_damaged_chunk_is_named(tmp_path, place, chunk):
    content = bytearray(save(tmp_path / "a.png", picture(0)).read_bytes())
    content[place] ^= 1
    with pytest.raises(ValueError, match=f"CRC of its chunk '{chunk}' is wrong"):
        png_chunks.check(bytes(content))


@pytest.mark.parametrize("kept", [8, 30, 100, -4])
def test_a_truncated_file_is_refused(tmp_path, kept):
    content = save(tmp_path / "a.png", picture(0)).read_bytes()
    with pytest.raises(ValueError, match="truncated"):
        png_chunks.check(content[:kept])
