"""Images in colour of more than 8 bits a channel, which Pillow would cut.

Shapes: H W = image.
"""

import numpy as np
from numpy.typing import NDArray


def read(content: bytes, page: int) -> NDArray[np.generic] | None:
    """Channels (H, W, 3) or (H, W) of an encoded image; None if OpenCV cannot decode them."""
    import cv2

    whole, pages = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if not whole or page >= len(pages):
        return None
    values: NDArray[np.generic] = pages[page]
    if values.ndim == 3 and values.shape[2] >= 3:
        return np.ascontiguousarray(values[..., 2::-1])
    return values if values.ndim == 2 else values[..., 0]


def turned(values: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Pixels as people see them; see EXIF 2.3, tag 274."""
    if orientation > 4:
        values = values.swapaxes(0, 1)
    upside_down = orientation in {3, 4, 7, 8}
    mirrored = orientation in {2, 3, 6, 7}
    return np.asarray(values[:: -1 if upside_down else 1, :: -1 if mirrored else 1])
