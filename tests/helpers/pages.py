# SPDX-License-Identifier: Apache-2.0
"""What a page holds: its words, and the plots that its script draws."""

import json
import re
from html import unescape
from pathlib import Path


def without_scripts(page: Path) -> str:
    """The source of a page without its scripts and their data, and without embedded pictures."""
    source = re.sub(r"(?s)<script[^>]*>.*?</script>", " ", page.read_text(encoding="utf-8"))
    return re.sub(r"base64,[^\"]+", "", source)


def page_words(page: Path) -> str:
    """The words of a page, without its figures and tags."""
    body = re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", without_scripts(page))
    return " ".join(unescape(body).split())


def plots(page: Path) -> list[dict]:
    """The plots of a page, in order, as plotly is given them."""
    source = page.read_text(encoding="utf-8")
    found = re.findall(r'<script type="application/json">(.*?)</script>', source)
    assert source.count('class="plot"') == len(found)
    assert source.count("plotly.js v") == bool(found), "the script stands in a page once"
    assert "<script src" not in source and "<link" not in source
    return [json.loads(text) for text in found]
