"""Pages as tests see them: what a browser would act on, and what one measures."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")

_MEASURE = """
const found = {};
for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument.documentElement;
    found[frame.width] = {
        overflow: page.scrollWidth - page.clientWidth,
        heading: page.querySelector("h1").textContent,
        bar: page.querySelector("rect.range").getBoundingClientRect().width,
        plots: [...page.querySelectorAll("svg.pareto[role=img]")].filter(plot => plot.clientWidth).map(plot => ({
            width: plot.clientWidth,
            labels: [...plot.querySelectorAll("text.label")].map(label => {
                const box = label.getBoundingClientRect();
                return [box.left, box.top, box.right, box.bottom];
            }),
        })),
        requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    };
}
document.body.innerHTML = "";
document.body.textContent = JSON.stringify(found);
"""


class Tags(HTMLParser):
    """Everything in a page that a browser acts on."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def measured(page: str, widths: Sequence[int], folder: Path) -> dict[int, dict[str, Any]]:
    """What a browser measures of a page in windows of some widths; the test is skipped where there is no browser."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"NOT TESTED: a page in a browser. There is none of {', '.join(BROWSERS)}.")
    # Frames of a page that may run scripts measure one that may not.
    frames = "".join(f'<iframe width="{width}" srcdoc="{html.escape(page)}"></iframe>' for width in widths)
    outer = folder / "outer.html"
    outer.write_text(f"<body>{frames}<script>addEventListener('load', () => {{{_MEASURE}}})</script></body>")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", profile, "--dump-dom", outer.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(html.unescape(re.sub(r"<[^>]*>", "", dumped)))
    return {int(width): of_width for width, of_width in found.items()}
