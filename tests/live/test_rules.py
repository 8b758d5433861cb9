"""
The rules can fail: stock Twisted breaks them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import rules
from tests.support.live import Server, stock
from tests.support.rules import MIB

pytestmark = pytest.mark.oneWay


@pytest.fixture
def stockServer(tmp_path: Path) -> Server:
    """
    What Twisted ships as an echo.
    """
    return stock(tmp_path)


def breaks(match: str) -> pytest.RaisesExc[AssertionError]:
    """
    Expect a rule to be broken.
    """
    return pytest.raises(AssertionError, match=match)


def test_halfClose(stockServer: Server) -> None:
    """
    Stock Twisted loses what it has not yet given back.
    """
    with stockServer as server, breaks("bytes came back"):
        rules.halfClose(server.port, 1, times=300)


def test_bulk(stockServer: Server) -> None:
    """
    Stock Twisted loses the end of a long stream.
    """
    with stockServer as server, breaks("altered"):
        rules.bulk(server.port, 64, late=1)


def test_backPressure(stockServer: Server) -> None:
    """
    Stock Twisted takes all that is offered.
    """
    with stockServer as server, breaks("bytes taken from a client that reads nothing"):
        rules.backPressure(server, clients=1, growth=MIB)


def test_whole(stockServer: Server) -> None:
    """
    Stock Twisted cuts datagrams to 8,192 bytes.
    """
    with stockServer as server, rules.asking(server.port) as client, breaks("8193 bytes"):
        for size in (0, 1, 8192, 8193):
            rules.whole(client, size)


def test_askedAddress(stockServer: Server) -> None:
    """
    Stock Twisted answers from another address than the one that was asked.
    """
    with stockServer as server:
        rules.askedAddress(server.port, "127.0.0.1")
        with breaks("no reply from 127.0.0.2"):
            rules.askedAddress(server.port, "127.0.0.2")
