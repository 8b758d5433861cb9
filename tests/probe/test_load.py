"""
A load on services that misbehave and count, and on ours.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

import echotwist.probe
from echotwist.probe.command import run
from tests.support.live import PATIENCE, ROOT, freePort, ours, ownProtocol, waitUntil
from tests.support.metrics import Watched
from tests.support.probing import PROGRAM, WELL, Misbehaving, measured, probe, reported, streams

SCHEMA = json.loads(Path(echotwist.probe.__file__).with_name("schema.json").read_text())


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """
    The service, of each kind; gives what to load by its kind.
    """
    folder, protocol = tmp_path_factory.mktemp("service"), ownProtocol()
    kinds = (f"--listen=unix:{folder}/stream", f"--unix-datagram={folder}/datagrams")
    with ours(folder, *kinds, f"--raw={protocol}") as service:
        yield {
            "udp": f"udp:127.0.0.1:{service.port}",
            "tcp": f"tcp:[::1]:{service.port}",
            "unix": f"unix:{folder}/stream",
            "unix-datagram": f"unix-datagram:{folder}/datagrams",
            "raw": f"raw:127.0.0.1:{protocol}",
        }


def test_kinds(places: dict[str, str]) -> None:
    """
    Everything of each kind comes back whole, and is counted.
    """
    targets = [place for kind, place in places.items() if kind != "raw"]
    words = ("--count=500", "--connections=5", "--in-flight=2", "--timeout=60", "--size=1000")
    report = reported("load", *targets, *words)
    jsonschema.validate(report, SCHEMA)
    assert [found["target"] for found in report["results"]] == targets
    for found in report["results"]:
        assert (found["sent"], found["back"], found["rttNs"]["count"]) == (500, 500, 500)
        assert (found["connected"], found["inFlight"], found["clock"]) == (5, 2, "user")
        through = found["throughput"]
        assert through["messages"] == 500 * 1e9 / found["elapsedNs"]
        assert through["bytesIn"] == through["bytesOut"] == 500_000 * 1e9 / found["elapsedNs"]


def test_order() -> None:
    """
    Answers out of order are counted, on a socket that has several messages in flight.
    """
    held: list[bytes] = []

    def swap(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if number % 4 == 1:
            held.append(data)
            return []
        return [(0.0, data), *((0.0, held.pop()) for _ in held)]

    with Misbehaving(swap) as service:
        words = ("--count=400", "--connections=1", "--in-flight=4", "--timeout=60")
        found = measured("load", service.target, *words, "--fail-if=reordered>99", status=1)
    assert (found["back"], found["reordered"]) == (400, {"count": 100})


def test_raw(places: dict[str, str]) -> None:
    """
    Raw IP has one socket, as each would hear the answers to all.
    """
    words = ("--count=200", "--connections=5", "--source=127.0.0.9", "--timeout=60")
    found = measured("load", places["raw"], *words)
    assert (found["connections"], found["inFlight"]) == (1, 5)
    assert (found["back"], found["twice"]) == (200, 0)


def test_tls(tmp_path: Path) -> None:
    """
    So it is over TLS.
    """
    certificate = tmp_path / "both.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {certificate} -days 2 -subj /CN=a"
    done = subprocess.run(words.split(), check=True, capture_output=True)
    certificate.write_bytes(certificate.read_bytes() + done.stdout)
    listen = f"--listen=ssl:0:privateKey={certificate}:interface=127.0.0.1"
    with ours(tmp_path, waysIn=(listen,)) as service:
        words = f"load tls:127.0.0.1:{service.port} --insecure --count=100 --connections=5"
        found = measured(*words.split(), "--timeout=60")
    assert (found["back"], found["damaged"], found["connected"]) == (100, 0, 5)
    assert found["ended"]["count"] == 0


@pytest.mark.parametrize(
    ("impair", "effect", "key"),
    [
        ("loss=2%,seed=7", "lost", "lost"),
        ("duplicate=10%,seed=7", "duplicated", "twice"),
        ("corrupt=3e-4,seed=7", "corrupted", "damaged"),
        ("truncate=40", "truncated", "damaged"),
    ],
)
def test_datagrams(tmp_path: Path, impair: str, effect: str, key: str) -> None:
    """
    What is found is what the service says it did, exactly; a lost datagram does not end
    the loop.
    """
    watched = Watched(tmp_path, f"--impair={impair}")
    with watched.server:
        words = ("--count=1000", "--connections=50", "--in-flight=2", "--timeout=3")
        found = measured("load", f"udp:127.0.0.1:{watched.server.port}", *words)
        did = watched.samples()["echotwist_impaired_datagrams_total", effect, "udp"]
    assert found["sent"] == 1000
    assert (found["lost"]["count"] if key == "lost" else found[key]) == did > 0
    assert found["back"] + found["late"] + found["lost"]["count"] == 1000


def test_resets(tmp_path: Path) -> None:
    """
    Connections that end are told by cause, and made again, as often as the service resets
    them; what is under way on them is lost.
    """
    watched = Watched(tmp_path, "--impair=reset=after:1000,chunk=1..100,seed=7")
    with watched.server:
        words = ("--count=200", "--connections=4", "--timeout=60")
        found = measured("load", f"tcp:127.0.0.1:{watched.server.port}", *words)
        did = watched.samples()["echotwist_impaired_connections_total", "reset", "tcp"]
    assert found["ended"]["reasons"] == [
        {"reason": "Connection reset by peer (errno 104)", "count": did}
    ]
    assert found["lost"]["reported"]["count"] == found["lost"]["count"]
    assert (found["sent"], found["damaged"]) == (200, 0)
    assert did <= found["connected"] <= did + 4


def test_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where nobody listens it comes to an end all the same, and says why.
    """
    done = probe("load", f"127.0.0.1:{freePort()}", "--count=10", "--connections=5")
    assert done.returncode == 3
    assert "10 left; ICMP port unreachable from 127.0.0.1" in done.stdout
    assert "10 never left: Connection refused (errno 111)" in done.stdout


def test_silent() -> None:
    """
    A service that accepts connections and answers nothing loses what is sent.
    """

    def take(connection: socket.socket) -> None:
        while connection.recv(1000):
            pass

    with streams(take) as target:
        words = ("--duration=1", "--connections=1", "--timeout=0.5")
        found = measured("load", target, *words, status=3)
    assert found["lost"]["unanswered"] == found["sent"] >= 2


def test_verdicts() -> None:
    """
    The exit status tells whether all held.
    """
    with Misbehaving(lambda did, number, data: [(0, data)]) as service:
        words = ("load", service.target, "--count=100", "--timeout=60", "--warmup=0")
        assert probe(*words, "--fail-if=rate<1", "--fail-if=loss>0%").returncode in WELL
        done = probe(*words, "--fail-if=rate>1", "--fail-if=max>60s")
        assert done.returncode == 1
        assert f"FAILED {service.target}: rate>1: " in done.stdout


def test_interrupted() -> None:
    """
    ^C prints what was found until then.
    """

    def count(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        did["came"] += 1
        return [(0, data)]

    with Misbehaving(count) as service:
        words = [*PROGRAM, "load", service.target, "--json", "--timeout=60", "--duration=1000"]
        running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        waitUntil(lambda: service.did["came"] > 100, "it has sent")
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=PATIENCE)
    [found] = json.loads(said)["results"]
    assert running.returncode in WELL
    assert found["sent"] == found["back"] + found["waiting"] > 100


def test_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A mistake is one line that says what was wrong, with status 2.
    """
    for words, said in {
        ("udp:8.8.8.8",): "a flood to an address that is neither loopback nor private; --flood",
        ("127.0.0.1", "--connections=0"): "--connections 0: not a whole number from 1",
        ("127.0.0.1", "--duration=1", "--warmup=1"): "warmup 1: nothing would be left",
        ("127.0.0.1", "--fail-if=jitter>1ms"): "jitter is not measured; shares (%): loss; counts",
        ("udp:127.0.0.1", "--size=65508"): "a datagram there has 65507 at the most",
        ("127.0.0.1", "--rate=5"): "option --rate not recognized",
        ("raw:127.0.0.1",): "would be taken for replies; say --source",
    }.items():
        assert run(["load", *words]) == 2, words
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert said in error
