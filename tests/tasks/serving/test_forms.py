from io import BytesIO

import pytest
from starlette.datastructures import FormData, UploadFile

from models.errors import InvalidInputError
from tasks.serving.forms import files_of, flag


def upload(name):
    return UploadFile(BytesIO(b"x"), filename=name)


def test_files_come_in_the_order_sent():
    form = FormData([("files", upload("b")), ("anomaly_map", "1"), ("files", upload("a"))])
    assert [file.filename for file in files_of(form)] == ["b", "a"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [([], "none"), ([("image", upload("a"))], "image"), ([("files", "text")], "files")],
)
def test_a_form_without_files_is_refused(fields, names):
    with pytest.raises(InvalidInputError, match=f"got the fields: {names}"):
        files_of(FormData(fields))


@pytest.mark.parametrize(("word", "yes"), [("TRUE", True), ("on", True), ("0", False), ("", False)])
def test_words_for_yes_and_no(word, yes):
    assert flag(word) is yes


@pytest.mark.parametrize("word", ["perhaps", upload("a")])
def test_what_is_neither_is_refused(word):
    with pytest.raises(InvalidInputError, match="must be true or false"):
        flag(word)
