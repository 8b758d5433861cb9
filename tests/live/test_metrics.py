"""
The view from outside.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import rules
from tests.support.live import BIN, ROOT, Server, waitUntil
from tests.support.metrics import Watched
from tests.support.rules import asking, offer, readAll
from tests.support.streams import connected


def test_metrics(tmp_path: Path) -> None:
    """
    Prometheus reads what happened, by transport.
    """
    watched = Watched(tmp_path, "--prefix=> ", "--max-connections=1")
    with watched.server as server:
        with connected(server.port) as stream:
            stream.sendall(b"hello")
            assert stream.recv(100) == b"> hello"
            with pytest.raises(ConnectionResetError), connected(server.port) as other:
                other.recv(1)
            samples = watched.samples()
            assert samples["echotwist_active_connections", "tcp"] == 1
        with asking(server.port) as client:
            client.send(b"hi")
            assert client.recv(100) == b"> hi"
            client.send(b"x" * 65_507)
        waitUntil(
            lambda: watched.samples()["echotwist_errors_total", "EMSGSIZE", "send", "udp"] == 1,
            "it is counted",
        )
        samples = watched.samples()
        for name, transport, value in [
            ("connections_total", "tcp", 1),
            ("active_connections", "tcp", 0),
            ("received_bytes_total", "tcp", 5),
            ("sent_bytes_total", "tcp", 7),
            ("received_datagrams_total", "udp", 2),
            ("sent_datagrams_total", "udp", 1),
            ("received_bytes_total", "udp", 65_509),
            ("sent_bytes_total", "udp", 4),
            ("stalled_connections_total", "tcp", 0),
            ("drained_connections_total", "tcp", 0),
        ]:
            assert samples[f"echotwist_{name}", transport] == value, name
        assert samples["echotwist_refused_total", "tcp", "too many connections"] == 1
        assert samples["echotwist_errors_total", "EMSGSIZE", "send", "udp"] == 1
        assert samples["process_resident_memory_bytes",] > 0
        assert "GET" not in server.log


def test_ready(tmp_path: Path) -> None:
    """
    The service is healthy and ready while it serves, and not ready any more once it
    stops.
    """
    watched = Watched(tmp_path, "--drain=30")
    with watched.server as server:
        assert watched.page("/healthz") == (200, "healthy\n")
        assert watched.page("/readyz") == (200, "ready\n")
        assert watched.page("/nothing")[0] == 404
        with connected(server.port) as stream:
            taken = offer(stream, 2**26)
            server.signal(signal.SIGTERM)
            waitUntil(lambda: watched.page("/readyz") == (503, "stopping\n"), "it is not ready")
            assert watched.page("/healthz")[0] == 200
            stream.settimeout(60)
            assert len(readAll(stream)) == taken
        assert server.wait() == 0


@pytest.mark.oneWay
@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("nonsense", "echo: cannot listen on metrics nonsense: Unknown endpoint type: "),
        ("tcp:{port}:interface=127.0.0.1", "Address already in use (errno 98)"),
        ("tcp:1:interface=192.0.2.1", "Cannot assign requested address (errno 99)"),
        ("tcp:70000", "port 70000: not a whole number from 0 to 65535"),
        ("stdio:", "cannot listen on metrics stdio:"),
    ],
)
def test_mistakes(tmp_path: Path, endpoint: str, said: str) -> None:
    """
    An endpoint that makes no sense gives one line, and the echo's ports are released.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ["echo", "-p0", "--metrics", endpoint.format(port=taken.getsockname()[1])]
        run = subprocess.run(
            [BIN / "twistd", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert said in line
    assert not list(tmp_path.glob("*.pid"))


@pytest.mark.oneWay
def test_missing(tmp_path: Path) -> None:
    """
    Without prometheus_client the option gives one line that says what to install.
    """
    code = (
        "import sys; sys.modules['prometheus_client'] = None; sys.argv = sys.argv[1:]\n"
        "from twisted.scripts.twistd import run; run()"
    )
    words = ["twistd", "-n", "echo", "--metrics=tcp:0"]
    run = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("echo: --metrics needs prometheus_client: pip install ")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.oneWay
def test_json(tmp_path: Path) -> None:
    """
    As JSON each event is one object on one line, with its fields by name.
    """
    command: list[str | Path] = [
        BIN / "twist",
        "--log-format=json",
        "echo",
        "--port=0",
        "--verbose",
    ]
    with Server(command, tmp_path) as server:
        rules.halfClose(server.port, 1000, times=1)
        with asking(server.port) as client:
            client.send(b"hello")
            assert client.recv(10) == b"hello"
        server.waitFor('"start"')
    events = [json.loads(line.strip("\x1e")) for line in server.lines if line.strip("\x1e")]
    [ended] = [event for event in events if "seconds" in event]
    assert ended["transport"] == "TCP"
    assert ended["reason"] == "closed"
    assert ended["bytes"] == 1000
    assert re.fullmatch(r"127\.0\.0\.1:\d+", ended["peer"])
    assert ended["local"] == f"127.0.0.1:{server.port}"
    [datagram] = [event for event in events if "start" in event]
    assert (datagram["bytes"], datagram["start"]) == (5, "'hello'")


def seriesOf(*transports: str) -> dict[str, set[tuple[str, ...]]]:
    """
    Return the labels of each family that is there before anything happens.
    """
    from echotwist.monitoring.metrics import EchoCollector
    from echotwist.telemetry.counters import Counters

    found = {}
    for family in EchoCollector([Counters(name) for name in transports]).collect():
        assert all(sample.value == 0 for sample in family.samples)
        found[family.name] = {tuple(sample.labels.values()) for sample in family.samples}
    return found


@pytest.mark.oneWay
def test_series() -> None:
    """
    Each series that can ever have a value is there from the start, and no other.
    """
    connections = {f"echotwist_{name}_connections" for name in ("stalled", "idle", "drained")}
    connections |= {"echotwist_connections", "echotwist_active_connections"}
    datagrams = {"echotwist_received_datagrams", "echotwist_sent_datagrams"}
    both = {"echotwist_received_bytes", "echotwist_sent_bytes"}
    both |= {"echotwist_refused", "echotwist_errors"}
    assert set(seriesOf("TCP", "TLS", "UNIX", "ONION")) == connections | both
    assert set(seriesOf("UDP", "UNIX datagram", "raw")) == datagrams | both
    known = seriesOf("TCP", "TLS", "UDP", "UNIX datagram")
    assert known["echotwist_connections"] == {("tcp",), ("tls",)}
    assert known["echotwist_sent_datagrams"] == {("udp",), ("unix-datagram",)}
    assert {
        ("tcp", "too many connections"),
        ("tls", "failed TLS handshake"),
        ("udp", "loop"),
        ("unix-datagram", "unbound sender"),
    } < known["echotwist_refused"]
    assert ("udp", "too many connections") not in known["echotwist_refused"]
    assert {("tcp", "accept", "EMFILE"), ("udp", "send", "ENOBUFS")} < known["echotwist_errors"]


@pytest.mark.oneWay
def test_otherSeries() -> None:
    """
    Other events have their series too, once they happen.
    """
    from echotwist.monitoring.metrics import EchoCollector
    from echotwist.telemetry.counters import Counters

    counters = Counters("UDP")
    counters.refused.update(["loop", "too dark"])
    counters.errors.update([("send", "EPERM"), ("receive", "EIO")])
    samples = [
        (*sample.labels.values(), sample.value)
        for family in EchoCollector([counters]).collect()
        for sample in family.samples
        if sample.value
    ]
    assert samples == [
        ("udp", "loop", 1),
        ("udp", "too dark", 1),
        ("udp", "send", "EPERM", 1),
        ("udp", "receive", "EIO", 1),
    ]


@pytest.mark.oneWay
def test_dashboard() -> None:
    """
    The Grafana dashboard asks for metrics that there are.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector

    there = set(seriesOf("TCP", "UDP"))
    there |= {family.name for family in ProcessCollector(registry=CollectorRegistry()).collect()}
    text = (ROOT / "deploy" / "grafana.json").read_text()
    asked = set(re.findall(r"\b(?:echotwist|process)_\w+", text))
    assert json.loads(text)["panels"]
    assert {name.removesuffix("_total") for name in asked} <= there
    assert len(asked) > 8
