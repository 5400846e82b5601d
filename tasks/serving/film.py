"""Film: an animated picture of what a detector says of a clip, frame by frame."""

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contracts import Progress, silent
from models.errors import InvalidInputError, NotFoundError
from tasks.data import layout
from tasks.data import masks as masks_of
from tasks.data.decoding import read_mask
from tasks.packaging.detector import Packaged, Prediction
from tasks.packaging.preprocessing import Preprocessing
from tasks.packaging.program import AUTO
from tasks.platform import files
from tasks.registry import mlflow_store, model_versions
from tasks.serving import uploads
from tasks.serving.responses import Region, find_regions
from tasks.serving.uploads import Limits

log = logging.getLogger(__name__)

WIDTH = 480
"""Least width of the picture in pixels; smaller frames are enlarged by a whole number."""
STRIP = 56
"""Height of the strip below a frame, which shows scores over time."""
RED, BLUE, WHITE, GRAY = (230, 70, 50), (86, 180, 233), (255, 255, 255), (150, 150, 150)
COLOURS = 40
"""Of a picture; fewer make smaller files."""
MILLISECONDS = 100
"""That each frame is shown."""
FONT = cv2.FONT_HERSHEY_SIMPLEX


def film(
    reference: str,
    clip: Path,
    target: Path,
    progress: Progress = silent,
    engine: str = AUTO,
) -> int:
    """Write an animated GIF of a clip as a registered detector sees it.

    Each frame shows the anomaly map, boxes around anomalous regions with their p-values, the
    ground truth where ``ground_truth/KIND/CLIP`` lies beside ``test/KIND/CLIP``, and the scores up
    to then.

    Args:
        reference: NAME, NAME@alias or NAME@version; the champion if neither is given.
        clip: A folder of frames, or a video.
        target: File to write; it is there whole or not at all.
        progress: Shows the frames.
        engine: What scores; see ``tasks.packaging.program.choose``.

    Returns:
        Number of frames shown.

    Raises:
        NotFoundError: If there is no such model or clip.
        InvalidInputError: If the detector cannot use the frames, or does not localise.
    """
    if target.suffix.lower() != ".gif":
        raise InvalidInputError(f"The film must be a .gif file, got {target}.")
    name, _, wanted = reference.partition("@")
    version = model_versions.resolve(mlflow_store.client(), name, wanted or model_versions.CHAMPION)
    packaged = model_versions.load(version, device="auto", engine=engine)
    frames = read([clip], packaged.preprocessing)
    found = packaged.predict(frames, anomaly_map=True)
    truth = _ground_truth(clip, len(frames), frames.shape[-2:])
    numbers = progress(
        range(len(found.image_score)), total=len(found.image_score), description="Film"
    )
    drawn = (Image.fromarray(_drawn(frames, found, packaged, truth, place)) for place in numbers)
    pictures = [each.quantize(COLOURS, dither=Image.Dither.NONE) for each in drawn]
    with files.whole(target) as part:
        pictures[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=MILLISECONDS,
            loop=0,
        )
    return len(pictures)


def read(sources: Sequence[Path], how: Preprocessing) -> NDArray[np.uint8]:
    """The frames of a clip, decoded as in training, without the limits of a server.

    Args:
        sources: A folder of images, a video, or images in order.
        how: What the detector was trained on.

    Raises:
        NotFoundError: If there is none.
        InvalidInputError: If one is damaged, or sizes differ.
    """
    limits = Limits(num_files=2**20, num_frames=2**20, total_pixels=2**40)
    if len(sources) == 1 and sources[0].is_dir():
        names = [path.name for path in sources[0].iterdir() if not layout.is_noise(path.name)]
        files = [sources[0] / name for name in sorted(names, key=layout.natural)]
        files = [path for path in files if path.suffix.lower() in layout.IMAGES]
    else:
        files = [path for path in sources if path.is_file()]
    if not files or (len(sources) > 1 and len(files) < len(sources)):
        lost = next((path for path in sources if path not in files), "nothing")
        raise NotFoundError(
            f"A clip must be a video, images or a folder of them, got {lost}, which is none. For "
            "example: data/walkway/test/cyclist/01"
        )
    if len(files) == 1 and files[0].suffix.lower() in layout.VIDEOS:
        found = uploads.read_video(files[0], how=how, limits=limits)
    else:
        contents = [path.read_bytes() for path in files]
        found = uploads.read_frames(contents, how=how, limits=limits)
    for each in found.warnings:
        log.warning("%s", each)
    return found.frames


def _ground_truth(clip: Path, num: int, size: Sequence[int]) -> list[NDArray[np.bool_]] | None:
    """Masks of all frames, where they lie beside ``test/``; frames without one have none marked."""
    clip = clip.absolute()
    parts = clip.parts
    if "test" not in parts[:-2]:
        return None
    place = len(parts) - 1 - parts[::-1].index("test")
    folder = Path(*parts[:place], layout.TRUTH, *parts[place + 1 :])
    if not folder.is_dir() or not clip.is_dir():
        return None
    masks = {
        path.stem.removesuffix("_mask"): path
        for path in folder.iterdir()
        if path.suffix.lower() in layout.IMAGES
    }
    names = [path.stem for path in clip.iterdir() if path.suffix.lower() in layout.IMAGES]
    found = [masks.get(name) for name in sorted(names, key=layout.natural)]
    if len(found) != num or not masks:
        return None
    nothing = np.zeros(tuple(size), bool)
    return [
        nothing if path is None else masks_of.resize(read_mask(path, path.name), tuple(size))
        for path in found
    ]


def _drawn(
    frames: NDArray[np.uint8],
    found: Prediction,
    packaged: Packaged,
    truth: list[NDArray[np.bool_]] | None,
    place: int,
) -> NDArray[np.uint8]:
    """One picture, RGB."""
    assert found.anomaly_map is not None
    number, anomaly_map = int(found.frame_index[place]), found.anomaly_map[place]
    zoom = max(-(-WIDTH // anomaly_map.shape[1]), 1)
    picture = _enlarged(_heated(frames[number], anomaly_map, packaged.pixel_threshold), zoom)
    if truth is not None:
        outline = _enlarged(truth[number].astype(np.uint8), zoom)
        contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, contours, -1, BLUE, 1)
    if found.anomalous[place]:
        for region in find_regions(
            anomaly_map, packaged.pixel_threshold, packaged.calibration, alarm=True
        ):
            _draw_box(picture, region, zoom)
    return np.vstack([picture, _strip(found, place, picture.shape[1])])


def _heated(
    frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32], threshold: float
) -> NDArray[np.uint8]:
    """A frame, RGB, that glows where its anomaly map is high."""
    gray = np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else np.moveaxis(frame, 0, -1)
    strength = np.clip(anomaly_map / (2 * threshold), 0, 1)
    heat = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = 0.6 * strength[..., None]
    return np.asarray(gray * (1 - share) + heat * share).astype(np.uint8)


def _enlarged(picture: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    return picture.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _draw_box(picture: NDArray[np.uint8], region: Region, zoom: int) -> None:
    left, top = region.left * zoom, region.top * zoom
    corner = (left + region.width * zoom, top + region.height * zoom)
    cv2.rectangle(picture, (left, top), corner, RED, 2)
    if region.p_value is not None:
        at = (left + 3, max(top - 5, 12))
        cv2.putText(picture, f"p {region.p_value:.2f}", at, FONT, 0.45, WHITE, 1, cv2.LINE_AA)


def _strip(found: Prediction, place: int, width: int) -> NDArray[np.uint8]:
    """Scores up to a frame, the threshold, and what is said of this frame."""
    strip = np.full((STRIP, width, 3), 20, np.uint8)
    top = max(1.5 * found.threshold, float(found.image_score.max()))
    across = np.linspace(4, width - 5, max(len(found.image_score), 2))

    def height(score: float) -> int:
        return round(STRIP - 4 - (STRIP - 8) * min(max(score / top, 0), 1))

    level = height(found.threshold)
    cv2.line(strip, (0, level), (width, level), GRAY, 1)
    points = [
        (round(float(x)), height(float(score)))
        for x, score in zip(across, found.image_score[: place + 1], strict=False)
    ]
    colour = RED if found.anomalous[place] else WHITE
    cv2.polylines(strip, [np.array(points, np.int32)], isClosed=False, color=colour, thickness=1)
    cv2.circle(strip, points[-1], 3, colour, -1)
    verdict = "anomalous" if found.anomalous[place] else "normal"
    said = f"frame {found.frame_index[place]}  {verdict}  p {found.p_value[place]:.2f}"
    cv2.putText(strip, said, (6, 14), FONT, 0.42, colour, 1, cv2.LINE_AA)
    return strip
