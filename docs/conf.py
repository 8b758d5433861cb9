"""
How the documentation is built: ``sphinx-build -W docs docs/_build``.
"""

import re
from importlib.metadata import version as versionOf
from typing import Any

project = "echotwist"
author = "the echotwist authors"
release = version = versionOf("echotwist")

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
autodoc_member_order = "bysource"
autodoc_typehints = "description"


def fromHere(app: object, path: object, name: object, source: list[str]) -> None:
    """
    Have what README points to found from here.
    """
    source[0] = re.sub(r"<docs/(\w+)\.rst>", r"<\1.html>", source[0]).replace("docs/", "")


def setup(app: Any) -> None:
    """
    Hear when a file is included.
    """
    app.connect("include-read", fromHere)
