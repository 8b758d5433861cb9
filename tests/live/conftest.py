"""
What tests share that talk to a service.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path

import pytest

from tests.support import live, namespaces
from tests.support.kinds import Kind
from tests.support.live import REACTORS, ROOT, Server, freePort, ours
from tests.support.metrics import Watched
from tests.support.namespaces import Pair


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Run all tests of the service's behaviour in both of its ways, if there are two, and
    on each reactor, if that matters; on half of them only if the slow ones are asked for.
    """
    oneWay = metafunc.definition.get_closest_marker("oneWay")
    ways = ["fast"] if oneWay else list(live.WAYS)
    if "reactorName" in metafunc.fixturenames:
        quick = list(zip(cycle(live.WAYS), REACTORS, strict=False))
        pairs = [
            pytest.param(*pair, marks=[pytest.mark.slow] * (pair not in quick))
            for pair in product(ways, REACTORS)
        ]
        metafunc.parametrize(("way", "reactorName"), pairs, indirect=True, scope="module")
    else:
        metafunc.parametrize("way", ways, indirect=True, scope="module")


@pytest.fixture(autouse=True, scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """
    The way in which services are started.
    """
    live.way[:] = live.WAYS[request.param]
    yield request.param
    live.way.clear()


@pytest.fixture(scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    """
    The kind of listener that is tested.
    """
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def watched(kind: Kind, way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """
    A service of that kind for all tests of a module that leave it as it was.
    """
    service = Watched(tmp_path_factory.mktemp("kind"), start=kind.ours)
    with service.server:
        yield service


@pytest.fixture(scope="module")
def reactorName(request: pytest.FixtureRequest) -> str:
    """
    Each reactor in turn.
    """
    return str(request.param)


@pytest.fixture(scope="module")
def server(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service, as it is by default, for all tests of a module that leave it as it was.
    """
    with ours(tmp_path_factory.mktemp("server")) as service:
        yield service


@pytest.fixture(scope="module")
def serverOn(
    way: str, reactorName: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """
    One like it on each reactor.
    """
    with ours(tmp_path_factory.mktemp("server"), reactor=reactorName) as service:
        yield service


@pytest.fixture
def taken() -> Iterator[int]:
    """
    A port that another program has, of TCP and of UDP.
    """
    port = freePort()
    with socket.create_server(("127.0.0.1", port)), socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        yield port


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """
    A key and its certificate, in the folder that this is, as the documentation makes them.
    """
    page = (ROOT / "docs" / "howto" / "tls.rst").read_text("utf-8")
    [command] = re.findall(r"\$ (openssl req .*)", page.replace("\\\n", ""))
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def hosts() -> Iterator[Pair]:
    """
    Two hosts joined by a wire.
    """
    with namespaces.pair() as pair:
        yield pair
