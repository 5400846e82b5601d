"""The picture of the console in its documentation: a clip that was dropped on the page.

``python -m benchmarks.console_picture --url http://127.0.0.1:8900 --clip DIR [--out FILE.png]``
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Literal

Scheme = Literal["light", "dark"]
WIDTH, HEIGHT = 1200, 800
COLOURS = 256
"""Of the palette of the picture."""
MILLISECONDS = 120_000


def picture(url: str, model: str, clip: Path, out: Path, scheme: Scheme) -> None:
    """Drop the frames of a clip on the page of a detector, and photograph what it says."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        sys.exit("A Chromium must be installed; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"{url}/#/detectors/{model}/try")
        page.locator("#files").wait_for(state="attached")
        frames = sorted(each for each in clip.iterdir() if each.suffix in {".png", ".jpg"})
        page.locator("#files").set_input_files([str(each) for each in frames])
        page.locator("canvas[data-frame]").wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=str(out), full_page=True)
        browser.close()
    with Image.open(out) as image:
        whole = image.convert("RGB")
        palette = whole.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, kmeans=3)
        whole.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8900")
    parser.add_argument("--model", default="walkway")
    parser.add_argument("--clip", type=Path, default=Path("data/walkway/test/cyclist/01"))
    parser.add_argument("--out", type=Path, default=Path("docs/console.png"))
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    arguments = parser.parse_args()
    picture(
        arguments.url.rstrip("/"),
        arguments.model,
        arguments.clip,
        arguments.out,
        arguments.scheme,
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
