"""
What several tests of the probe share.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.routed import Routed, routed


@pytest.fixture(scope="module")
def hosts() -> Iterator[Routed]:
    """
    Two hosts, and the router between them.
    """
    with routed() as made:
        yield made
