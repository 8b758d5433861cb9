"""
Bring the lesson's French catalogue up to date with its pages.

``python -m tests.catalogue`` adds what is new and drops what is gone. What has changed is
marked ``fuzzy``, beside the text that was translated: translate it again, and drop the
mark.
"""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from tests.support.live import PATIENCE, ROOT

#: Where the lesson is, in its own language and in French.
DOCS = ROOT / "docs"
CATALOGUE = DOCS / "locale" / "fr" / "LC_MESSAGES" / "lesson.po"

#: How a catalogue begins, whatever has written it.
HEADER = r"""# The lesson in French.
msgid ""
msgstr ""
"Language: fr\n"
"Content-Type: text/plain; charset=utf-8\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"

"""


def read(path: Path) -> Catalog:
    """
    Read a catalogue.
    """
    with path.open("rb") as file:
        return read_po(file, locale="fr")


def extracted(docs: Path = DOCS) -> Catalog:
    """
    Return what Sphinx finds to translate in the lesson, page by page.

    Each has the names of its pages, without a line: lines move with each change.
    """
    with TemporaryDirectory() as folder:
        # Where the language is not English, the lesson is all there is.
        words = ["-Q", "-b", "gettext", "-D", "language=fr", "-D", "locale_dirs=", docs, folder]
        command = [sys.executable, "-m", "sphinx", *map(str, words)]
        subprocess.run(command, check=True, timeout=5 * PATIENCE)
        found = read(Path(folder) / "lesson.pot")
    for message in found:
        pages = {Path(path).name for path, _ in message.locations}
        message.locations = [(f"lesson/{page}", 1) for page in sorted(pages)]
    return found


def renewed(old: Catalog, found: Catalog) -> str:
    """
    Return the text of a catalogue that has what was found, translated as before.
    """
    old.update(found)
    text = BytesIO()
    write_po(
        text,
        old,
        width=0,
        omit_header=True,
        ignore_obsolete=True,
        include_previous=True,
        include_lineno=False,
    )
    return HEADER + text.getvalue().decode().lstrip()


if __name__ == "__main__":
    CATALOGUE.write_text(renewed(read(CATALOGUE), extracted()), "utf-8")
