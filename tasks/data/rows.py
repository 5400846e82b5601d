"""A row of the manifest: one file of a data version, and what its bytes turned out to be."""

from dataclasses import dataclass

from tasks.data import layout


@dataclass(kw_only=True)
class Row:
    """One file. What does not apply to it, or could not be read, is None."""

    path: str
    """Below ``data/<name>``, with forward slashes."""
    role: str
    """That of ``layout.Place``; an image of several pages that is a clip is a ``video``."""
    split: str | None = None
    """``train`` or ``test``."""
    kind: str | None = None
    clip: str | None = None
    """Kind and name, ``good/01``; None for still images and their masks."""
    frame: int | None = None
    """Number of the frame in its clip."""
    label: str | None = None
    """``normal`` or ``anomalous``; ``mixed`` for a video file that holds both; ``unknown`` if its
    ground truth cannot be read, or the clips of its split cannot be listed."""
    md5: str
    """As the data version has it."""
    md5_read: str | None = None
    """Of the bytes that were read."""
    num_bytes: int | None = None
    decodes: bool | None = None
    """Whether image, mask, video or label file can be read; None if it is none of them or lost."""
    num_frames: int | None = None
    """1 for an image, more for a video file, 0 if it does not decode."""
    num_pages: int | None = None
    """Pages of an image file; those after the first are not read, unless it is a clip."""
    bits: int | None = None
    """Of a channel of an image."""
    frame_rate: float | None = None
    """Frames per second that a video file says it has."""
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    """Pillow's name of the pixel format, ``video`` for a video file."""
    mean: float | None = None
    """Mean gray level in [0, 1]; of a video file, that of its middle frame."""
    contrast: float | None = None
    """Standard deviation of the gray levels, in [0, 0.5]; 0 for a constant image."""
    marked: float | None = None
    """Share of the pixels of a mask that it marks, in [0, 1]."""
    mask_levels: int | None = None
    """Different brightnesses in a mask."""
    doubt: str | None = None
    """What is probably not meant by a mask."""
    hint: str | None = None
    """What is probably not meant by the place of a file."""
    origin: str | None = None
    """Who judged it to be what, when, and of which prediction, if it was absorbed."""
    problem: str | None = None
    """Why it cannot be read, in the decoder's own words."""
    size: str | None = None
    """``360x240``."""
    format: str | None = None
    """Size and mode, ``360x240 L``."""
    format_of_clip: str | None = None
    """The most frequent one in its clip."""
    clip_length: int | None = None
    """Frames of its clip; None for still images."""
    step: int | None = None
    """Frame numbers from the frame before it in the clip."""
    rival: str | None = None
    """Another file with the same split, kind and name, where names must differ."""
    twin: str | None = None
    """An image or video of the other split with the same bytes."""
    near: str | None = None
    """A still image of the other split that shows nearly the same."""
    copy: str | None = None
    """A still image of ``train`` that this one of ``train`` shows nearly the same as."""
    belongs_to: str | None = None
    """The image or video of a mask, the clip of a label file."""
    size_of_owner: str | None = None
    """Size of a mask's image or video; for the region of interest, that of all images."""
    has_truth: bool | None = None
    """Whether there is a mask or label file for it, if its kind has any."""

    @property
    def stem(self) -> str:
        """What a mask and its image have in common."""
        return layout.place(self.path).stem
