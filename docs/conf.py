"""
How the documentation is built: ``sphinx-build -W docs docs/_build``.
"""

from importlib.metadata import version as versionOf

project = "echotwist"
author = "the echotwist authors"
release = version = versionOf("echotwist")

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
