"""
Puts the figures into the documentation of this checkout, so that nobody copies them by hand.

They stand between two comments: ``.. figures: NAME`` and ``.. figures end``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.chart import draw
from bench.rounds import Results
from bench.tables import Tables, told

ROOT = Path(__file__).parent.parent

#: Where figures stand, from the root.
PAGES = ["docs/speed.rst", "docs/figures.rst"]

#: What was measured, and the chart of it.
RESULT, CHART = "docs/speed.json", "docs/speed.svg"

PLACE = re.compile(r"(?ms)^(\.\. figures: (\w+)\n).*?^(\.\. figures end\n)")


def figures(results: Results) -> dict[str, str]:
    """
    Return the figures as reST, by name.
    """
    return {"short": Tables(results).short().reST(), "all": told(results).reST()}


def filled(page: str, texts: Mapping[str, str]) -> str:
    """
    Put figures into a page.

    :param texts: by name.
    """
    return PLACE.sub(lambda place: f"{place[1]}\n{texts[place[2]]}\n{place[3]}", page)


def publish(results: Results) -> None:
    """
    Write the result, the chart, and the figures in the pages.
    """
    told(results).writeJSON(ROOT / RESULT)
    draw(ROOT / CHART, results)
    fill(PAGES, figures(results))


def fill(pages: Iterable[str], texts: Mapping[str, str]) -> None:
    """
    Put figures into pages of this checkout.

    :param pages: from the root.
    :param texts: by name.
    """
    for name in pages:
        page = ROOT / name
        page.write_text(filled(page.read_text(), texts))
