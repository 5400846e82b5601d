"""Kinds of images: what the name of a folder of ``test`` says of the images in it.

``good`` is normal, and so is ``good-<class>``, where images of several classes are normal: the
classes judge clusters, and no model is trained on them. Every other kind is anomalous.
"""

NORMAL = "good"
"""The kind of images that are normal; the only one in ``train``."""


def is_normal(kind: str) -> bool:
    """Whether images of a kind are normal."""
    return kind == NORMAL or class_of(kind) is not None


def class_of(kind: str) -> str | None:
    """The class in ``good-<class>``; None if the kind names none."""
    stem, _, name = kind.partition("-")
    return name if stem == NORMAL and name else None
