from tasks.data.rows import Row


def test_a_mask_has_the_stem_of_its_image():
    mask = Row(path="ground_truth/cut/a_mask.png", role="mask", md5="1")
    image = Row(path="test/cut/a.png", role="image", md5="2")
    assert mask.stem == image.stem == "a"
