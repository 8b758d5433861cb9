"""
A plugin for pytest: fixtures for an echo service and a probe.

Every run of pytest imports it where echotwist is installed: so it imports no module that
takes time.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from echotwist.testing.fixtures import EchoProbes, EchoServices


@pytest.fixture
def echo_service() -> Iterator[EchoServices]:
    """
    Echo services on free ports, in processes of their own, checked for leaks at the end.
    ``echo_service(impair="loss=1%")`` starts one with settings; ``echo_service.port`` is of
    the last one, or of one without settings.
    """
    from echotwist.testing.fixtures import services

    with services() as made:
        yield made


@pytest.fixture
def echo_probe(echo_service: EchoServices) -> EchoProbes:
    """
    The probe: ``echo_probe(count=100)`` measures the path to the service, and gives what
    ``echoprobe --json`` prints.
    """
    from echotwist.testing.fixtures import EchoProbes

    return EchoProbes(echo_service)
