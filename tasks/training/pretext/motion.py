"""Where something moves by itself between two frames: optical flow without the camera's part.

Shapes: H W = frame, P = points.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOVING = 0.5
"""Pixels in one frame from which a pixel moves (Wang and Gupta, section 3)."""
CHANGED = 4.0
"""Gray levels, of blurred frames, by which something near a moving pixel changes: in front of a
blank wall, flow alone is made of noise."""
NEAR = 9
"""Side of the square of pixels that are near, in pixels."""
FEWEST, MOST = 0.001, 0.5
"""Share of moving pixels outside which a frame shows nothing to follow, or a cut or a shake."""
FILLED = 0.05
"""Share of a square that must move for it to hold something."""
SMALLEST = 10
"""Shortest side of a box, in pixels: less cannot be followed."""
STEP = 8
"""Pixels between the points that tell the camera's movement."""
ROUNDS = 4
"""Fits of the camera's movement, each without the points that the last one left far off."""


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels in a frame."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column behind it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row below it."""
        return self.top + self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of its middle."""
        return self.top + self.height / 2, self.left + self.width / 2

    def overlap(self, other: "Box") -> float:
        """Intersection over union, in [0, 1]."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(width, 0) * max(height, 0)
        return shared / (self.width * self.height + other.width * other.height - shared)


def moving_pixels(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels (H, W) of ``after`` move by themselves; none where too few or too many do.

    Args:
        before: The gray frame before it, (H, W).
        after: A gray frame, (H, W).
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = method.calc(after, before, None)
    speed = np.linalg.norm(flow - camera_flow(flow), axis=2)
    moves = (speed > MOVING) & _changed(before, after)
    if not FEWEST <= moves.mean() <= MOST:
        return np.zeros_like(moves)
    return np.asarray(moves)


def _changed(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.bool_]:
    blurred = [cv2.GaussianBlur(f.astype(np.float32), (5, 5), 0) for f in (before, after)]
    change = np.abs(blurred[1] - blurred[0])
    near = cv2.dilate(change, np.ones((NEAR, NEAR), np.uint8))
    return np.asarray(near > CHANGED)


def camera_flow(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part (H, W, 2) of a flow that is affine in the place: a turn, a zoom, a pan.

    Fitted by least squares to a grid of points, again and again without those that move otherwise.
    """
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([np.ones_like(rows), rows / height, columns / width], axis=2)
    points = places[STEP // 2 :: STEP, STEP // 2 :: STEP].reshape(-1, 3)
    moved = flow[STEP // 2 :: STEP, STEP // 2 :: STEP].reshape(-1, 2)
    centre = np.median(moved, axis=0)
    far = np.linalg.norm(moved - centre, axis=1)
    fitted = np.zeros((3, 2), dtype=np.float32)
    for _ in range(ROUNDS):
        near = far <= max(float(np.median(far)), MOVING)
        fitted = np.linalg.lstsq(points[near], moved[near], rcond=None)[0]
        far = np.linalg.norm(moved - points @ fitted, axis=1)
    return np.asarray(places @ fitted, dtype=np.float32)


def moving_boxes(moves: NDArray[np.bool_], side: int) -> list[Box]:
    """Boxes around what moves, at most ``side`` high and wide, those with most movement first.

    What hangs together gets one box if it fits. Else a sliding square finds most of its pixels, its
    box is drawn tight around these, they are taken away, and so on. What overlaps a better box is a
    rest of it, and what touches the edge of the frame is still coming into view: both are left out.
    """
    height, width = moves.shape
    num, labels, measures, _ = cv2.connectedComponentsWithStats(moves.astype(np.uint8))
    boxes: list[tuple[int, Box]] = []
    for component in range(1, num):
        left, top, columns, rows, area = (int(value) for value in measures[component])
        if max(columns, rows) <= side:
            boxes.append((area, Box(left, top, columns, rows)))
        else:
            boxes += _squares(labels == component, side)
    found: list[Box] = []
    for area, box in sorted(boxes, key=lambda each: each[0], reverse=True):
        inside = min(box.left, box.top, width - box.right, height - box.bottom) > 0
        large = area >= FILLED * side**2 and min(box.width, box.height) >= SMALLEST
        if inside and large and not any(map(box.overlap, found)):
            found.append(box)
    return found


def _squares(moves: NDArray[np.bool_], side: int) -> Iterator[tuple[int, Box]]:
    """Squares that together hold most of what is too large for one, and their moving pixels."""
    left_over = moves.astype(np.float32)
    while True:
        share = cv2.boxFilter(left_over, -1, (side, side), borderType=cv2.BORDER_CONSTANT)
        row, column = np.unravel_index(int(share.argmax()), share.shape)
        if share[row, column] < FILLED:
            return
        top, left = max(int(row) - side // 2, 0), max(int(column) - side // 2, 0)
        square = left_over[top : top + side, left : left + side]
        y, x = np.nonzero(square)
        box = Box(left + int(x.min()), top + int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
        yield len(y), box
        square[:] = 0


def share_moving(moves: NDArray[np.bool_], box: Box) -> float:
    """Share of a box's pixels that move; those outside the frame do not."""
    top, left = max(box.top, 0), max(box.left, 0)
    inside = moves[top : max(box.bottom, 0), left : max(box.right, 0)]
    return float(inside.sum()) / (box.width * box.height)
