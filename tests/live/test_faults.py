"""
The service goes on when the kernel fails it.
"""

from __future__ import annotations

import pytest

from tests import faults


@pytest.mark.slow
def test_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Whatever call fails, TCP and UDP both answer afterwards, and the log has at
    most one line of each kind.
    """
    with capsys.disabled():
        print()
        assert faults.main() == 0
