"""The form of ``POST /predict``: how it is described, and what is in it."""

from starlette.datastructures import FormData, UploadFile

from models.errors import InvalidInputError

FORM = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Images: the consecutive frames of one clip, in the order sent. Or one "
            "video, or image of several pages.",
        },
        "anomaly_map": {
            "type": "boolean",
            "default": False,
            "description": "Also return a score for every pixel, and the anomalous regions.",
        },
    },
}
FILES = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in (
        "application/octet-stream",
        *(f"image/{each}" for each in ("bmp", "gif", "jpeg", "png", "tiff", "webp")),
        *(f"video/{each}" for each in ("avi", "mp4", "mpeg", "x-matroska")),
    )
}
"""Types of a body that is a single file, and how they are described."""
SINGLE = ("image/", "video/", "application/octet-stream")
"""Begins of the types of a body that is a single file; one that looks like it needs none."""
YES, NO = frozenset({"1", "on", "true", "yes"}), frozenset({"", "0", "false", "no", "off"})


def files_of(form: FormData) -> list[UploadFile]:
    """The uploaded files of a request.

    Raises:
        InvalidInputError: If there are none, or the field holds something else too.
    """
    found = [value for value in form.getlist("files") if isinstance(value, UploadFile)]
    if not found or len(found) < len(form.getlist("files")):
        names = ", ".join(sorted(set(form))) or "none"
        raise InvalidInputError(
            "A request must hold one or more files in the field 'files', each with a file name; "
            f"got the fields: {names}. With curl: -F files=@frame.png"
        )
    return found


def flag(value: str | UploadFile) -> bool:
    """Whether a field says yes.

    Raises:
        InvalidInputError: If it says neither yes nor no.
    """
    word = value.lower() if isinstance(value, str) else "a file"
    if word not in YES | NO:
        raise InvalidInputError(f"anomaly_map must be true or false, got {word!r}.")
    return word in YES
