"""Data Docs that open without internet.

Great Expectations' pages take their styles, scripts and icons from five hosts; a browser without a
network waits for each of them and then shows bare text.
"""

import re
from pathlib import Path

OUTSIDE = re.compile(
    r"<link\b[^>]*\bhref=[\"']https?://[^>]*>"
    r"|<script\b[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>"
    r"|<img\b[^>]*\bsrc=[\"']https?://[^>]*>",
    re.IGNORECASE,
)
STYLE = """<style data-by="unseen">
body{font:14px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1200px;padding:1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}
td,th{border:1px solid #ddd;padding:.3rem .5rem;text-align:left;vertical-align:top}
.text-success{color:#187a3c}.text-danger,.text-warning{color:#b3261e}
.alert,.badge{border:1px solid #bbb;border-radius:4px;padding:.1rem .4rem}
.btn,.navbar-toggler,.modal,.walkthrough-modal{display:none}
ul{padding-left:1.2rem}a{color:#1a5fb4}
.fa-check-circle::before{content:"\\2714"}.fa-times::before{content:"\\2718"}
.fa-exclamation-triangle::before{content:"\\26A0"}
</style></head>"""


def make_offline(folder: Path) -> None:
    """Make every page below a folder stand alone, with a style of its own."""
    for film in folder.glob("static/images/*.gif"):  # 3 MB of how-to films, whose button is off
        film.unlink()
    for page in folder.rglob("*.html"):
        text = page.read_text()
        if OUTSIDE.search(text):
            alone = OUTSIDE.sub("", text).replace("</head>", STYLE, 1)
            page.write_text(alone)
