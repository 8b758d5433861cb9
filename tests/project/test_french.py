"""
The lesson is there in French: all of it, as it is now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.live import ROOT

if TYPE_CHECKING:
    # Trial loads this file where babel is not installed.
    from babel.messages.catalog import Catalog, Message

#: A program's words in a text, which are those of both languages.
LITERAL = re.compile(r"``.+?``")

#: What is no prose in a text.
MARKUP = re.compile(r"``.+?``|:[\w:]+:`[^`]*`|`[^`]*`_+")


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    """
    What is translated.
    """
    from tests.catalogue import CATALOGUE, read

    return read(CATALOGUE)


@pytest.fixture(scope="module")
def found() -> Catalog:
    """
    What there is to translate.
    """
    from tests.catalogue import extracted

    return extracted()


def messages(catalogue: Catalog) -> list[Message]:
    """
    Return the messages of a catalogue without its header.
    """
    return [one for one in catalogue if one.id]


def untranslated(catalogue: Catalog) -> list[str]:
    """
    Return the messages that have no translation, or one that may be of an older text.
    """
    return [str(one.id) for one in messages(catalogue) if not one.string or one.fuzzy]


def test_complete(catalogue: Catalog) -> None:
    """
    Each text of the lesson is translated.
    """
    assert len(messages(catalogue)) > 300
    assert untranslated(catalogue) == []


def test_fresh(found: Catalog) -> None:
    """
    The catalogue has the texts of the pages as they are now, and no others.
    """
    from tests.catalogue import CATALOGUE, read, renewed

    text = CATALOGUE.read_text("utf-8")
    assert text == renewed(read(CATALOGUE), found), "run python -m tests.catalogue, and translate"


def test_renewed() -> None:
    """
    When a page changes, what has changed and what is new are to be translated, what is
    gone is dropped, and all else stays as it was.
    """
    from babel.messages.catalog import Catalog

    from tests.catalogue import renewed

    old, new = Catalog(locale="fr"), Catalog()
    long = "The program that listens has no part in "
    for text, french in [("Kept.", "Gardé."), (f"{long}this.", "Vieux."), ("Gone.", "Parti.")]:
        old.add(text, french)
    for text in ["Kept.", f"{long}that.", "New, and not like any of the others."]:
        new.add(text)
    text = renewed(old, new)
    assert untranslated(old) == [f"{long}that.", "New, and not like any of the others."]
    assert "Gardé." in text
    assert "Parti." not in text


def test_shared(found: Catalog) -> None:
    """
    Transcripts and programs are those of both languages: they are not translated.
    """
    files = (ROOT / "docs" / "lesson" / "programs").rglob("*")
    programs = [path for path in files if path.suffix in {".py", ".php"}]
    lines = {line for path in programs for line in path.read_text("utf-8").splitlines()}
    assert not [one.id for one in found if lines & {*str(one.id).splitlines()} - {""}]


def test_literals(catalogue: Catalog) -> None:
    """
    A translation has the literals of its text.
    """
    for one in messages(catalogue):
        translated = LITERAL.findall(str(one.string))
        assert sorted(translated) == sorted(LITERAL.findall(str(one.id))), one.string


def test_typography(catalogue: Catalog) -> None:
    """
    No line breaks before a colon, a semicolon, or what else French sets apart.
    """
    for one in messages(catalogue):
        prose = MARKUP.sub("x", str(one.string))
        assert not re.findall(r" [:;!?»](?!\w)|« |\w[;!?]|\"", prose), one.string
