"""
``echoprobe idle`` where it is known for how long flows are kept.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import echotwist.probe.idle
from echotwist.probe.options import IdleOptions
from echotwist.probe.schedule import SECOND
from tests.support.forgetful import Forgetful
from tests.support.live import PATIENCE, ROOT, Server, waitUntil
from tests.support.namespaces import Pair, pair
from tests.support.probing import PROGRAM, Misbehaving, probe

SCHEMA = json.loads(Path(echotwist.probe.idle.__file__).with_name("schema.json").read_text())

#: Short silences, to a tenth of a second.
SHORT = ("--first=0.1", "--longest=4", "--precision=0.1", "--timeout=1")


def searched(*words: str, status: int = 0) -> dict[str, dict[str, Any]]:
    """
    Search, and give what was found by its mode.
    """
    done = probe("idle", *words, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    assert not done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    return {one["mode"]: one for one in report["results"]}


def assertFound(found: dict[str, Any], keeps: float, most: float = 0.5) -> None:
    """
    Check that the time for which flows are kept lies between what survived and what did not,
    and that these are as near as was asked for; however late a busy machine is, its clock
    says for how long flows were silent.
    """
    assert found["isDone"]
    assert found["survivedNs"] < keeps * SECOND
    assert found["endedNs"] > (keeps - most) * SECOND
    assert found["survivedNs"] < found["endedNs"] <= found["survivedNs"] + 0.1 * SECOND


@pytest.mark.slow
def test_datagrams() -> None:
    """
    Flows over UDP that are forgotten are silent for ever; that every fifth datagram is lost
    is not taken for it.
    """
    with Forgetful(0.7, loses=5) as service:
        words = (f"udp:127.0.0.1:{service.port}", *SHORT, "--timeout=2")
        found = searched(*words, "--only=once")
    assertFound(found["once"], 0.7)
    assert (found["once"]["ending"], found["once"]["reason"]) == ("silence", "no answer")
    assert service.flows["udp"] >= len(found["once"]["trials"])


def test_lost() -> None:
    """
    A question that is lost is asked again, before a silence as after it.
    """
    with Misbehaving(lambda did, number, data: [] if number % 3 else [(0, data)]) as service:
        words = ("--first=0.2", "--longest=0.2", "--timeout=2", "--only=once")
        found = searched(service.target, *words)["once"]
    assert (found["survivedNs"], found["endedNs"]) == (SECOND // 5, None)
    assert found["sent"] >= 3 * found["back"]


@pytest.mark.parametrize(
    ("ending", "told", "words"),
    [
        ("silence", "silence", "no answer"),
        ("reset", "reset", "RST: Connection reset by peer (errno 104)"),
        ("late", "reset", "RST: Connection reset by peer (errno 104)"),
        ("close", "closed", "the connection was closed (FIN)"),
    ],
)
def test_connections(ending: str, told: str, words: str) -> None:
    """
    However a connection ends that was silent for too long, that is told.
    """
    with Forgetful(0.7, ending) as service:
        target = f"tcp:127.0.0.1:{service.port}"
        found = searched(target, *SHORT, "--only=silent")
    assertFound(found["silent"], 0.7)
    assert (found["silent"]["ending"], found["silent"]["reason"]) == (told, words)


def test_nobody() -> None:
    """
    Where nobody answers the status is 3, with the reason.
    """
    with Forgetful(1) as service:
        port = service.port
    done = probe("idle", f"127.0.0.1:{port}", "--timeout=0.2")
    assert done.returncode == 3
    assert done.stdout.count("nothing is known yet") == 3
    assert done.stdout.count("Connection refused (errno 111)") == 1  # Of TCP.
    assert done.stdout.count("ICMP port unreachable from 127.0.0.1") == 2


def test_unheard() -> None:
    """
    So it is if somebody stops it before it gives up.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(PATIENCE)
        target = f"udp:127.0.0.1:{silent.getsockname()[1]}"
        words = [*PROGRAM, "idle", target, "--timeout=60", "--only=once"]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        silent.recv(2**16)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)
    assert "nothing is known yet" in said
    assert process.returncode == 3


def test_verdict() -> None:
    """
    A silence that should have survived and did not makes for status 1.
    """
    with Forgetful(0.3) as service:
        words = (f"udp:127.0.0.1:{service.port}", *SHORT, "--only=once")
        searched(*words, "--fail-if=survived<1s", status=1)
        searched(*words, "--fail-if=survived<100ms", status=0)


@pytest.mark.slow
def test_stops(tmp_path: Path) -> None:
    """
    What ^C interrupts goes on from its state; with another target the state is refused.
    """
    state = tmp_path / "state"
    with Forgetful(0.7) as service:
        words = [f"udp:127.0.0.1:{service.port}", *SHORT, "--only=once", f"--state={state}"]
        process = subprocess.Popen(
            [*PROGRAM, "idle", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        waitUntil(lambda: state.exists() and b"silenceNs" in state.read_bytes(), "it knows some")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert "the search is not over" in said
        before = json.loads(state.read_text())["searches"][0]["trials"]
        found = searched(*words)["once"]
        assertFound(found, 0.7)
        assert found["trials"][: len(before)] == before
        again = searched(*words)["once"]
        assert (again["sent"], again["trials"]) == (0, found["trials"])
    done = probe("idle", "udp:127.0.0.1:9", f"--state={state}")
    assert done.returncode == 2
    assert done.stderr == (
        f"echoprobe: --state {state}: it belongs to udp:127.0.0.1:{service.port}, "
        "not to udp:127.0.0.1:9\n"
    )
    assert sorted(tmp_path.iterdir()) == [state]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("unix:/nowhere", "unix:/nowhere: idle measures UDP and TCP only"),
        ("127.0.0.1 --longest=86401", "--longest 86401: more than a day (86400 seconds)"),
        ("127.0.0.1 --precision=0", "--precision 0: below 0.01 seconds"),
        ("127.0.0.1 --first=9 --longest=8", "--first 9: not from 0.01 to --longest 8"),
        ("127.0.0.1 --ca=ca.pem", "option --ca not recognized"),
        ("127.0.0.1 --insecure", "option --insecure not recognized"),
        ("127.0.0.1 --flood", "option --flood not recognized"),
        ("127.0.0.1 --only=some", "--only some: none of once, stream, silent, keepalive"),
        ("udp:127.0.0.1 --only=silent", "udp:127.0.0.1:7: none of its modes is among those"),
        ("127.0.0.1 --only=keepalive", "--only keepalive: give --keepalive as well"),
        ("127.0.0.1 --timeout=0", "--timeout 0: no answer would be in time"),
        ("127.0.0.1 --state=/nowhere/s", "--state /nowhere/s: No such file or directory"),
        ("127.0.0.1 --state=/dev/null", "--state /dev/null: not a file"),
        ("127.0.0.1 --state=README.rst", "--state README.rst: not written by echoprobe idle"),
        ("127.0.0.1 --fail-if=loss>1%", "--fail-if 'loss>1%': loss is not measured"),
    ],
)
def test_mistakes(words: str, said: str) -> None:
    """
    A mistake is one line, and status 2.
    """
    done = probe("idle", *words.split())
    assert done.returncode == 2
    assert done.stderr.startswith(f"echoprobe: {said}")
    assert done.stderr.count("\n") == 1


def test_onlyOfBoth() -> None:
    """
    With a mode of UDP alone, ``HOST:PORT`` is a target of UDP alone, and so for TCP.
    """
    for words, kinds in {"once": ["udp"], "silent": ["tcp"], "once silent": ["udp", "tcp"]}.items():
        options = IdleOptions()
        options.parseOptions(["127.0.0.1", *(f"--only={mode}" for mode in words.split())])
        assert [one.kind for one in options.targets] == kinds


def test_states(tmp_path: Path) -> None:
    """
    A state that was damaged is refused, whatever is in it, and left as it is.
    """
    state = tmp_path / "state"
    right: dict[str, Any] = {"schema": "echoprobe-idle-state", "version": 1, "targets": ["a"]}
    trial = {"silenceNs": -1, "round": 1, "ending": None, "reason": None, "settledNs": 1}
    one = {"target": "a", "mode": "once", "keepalive": None}
    for text in (
        "",
        "[" * 100_000,
        "\0",
        "[]",
        "{}",
        json.dumps(right),
        json.dumps({**right, "searches": 1}),
        json.dumps({**right, "version": 2, "searches": []}),
        json.dumps({**right, "searches": [{**one, "trials": [trial]}]}),
        json.dumps({**right, "searches": [{**one, "trials": [{**trial, "silenceNs": 10**400}]}]}),
        json.dumps({**right, "searches": [{**one, "mode": [], "trials": []}]}),
    ):
        state.write_text(text)
        done = probe("idle", "udp:127.0.0.1:9", f"--state={state}")
        assert done.stderr == f"echoprobe: --state {state}: not written by echoprobe idle\n"
        assert done.returncode == 2
        assert state.read_text() == text


@pytest.mark.slow
def test_plot(tmp_path: Path) -> None:
    """
    The search is drawn.
    """
    pytest.importorskip("matplotlib")
    path = tmp_path / "idle.svg"
    with Forgetful(0.3) as service:
        words = (f"udp:127.0.0.1:{service.port}", *SHORT, "--only=once", f"--plot={path}")
        searched(*words)
    drawn = path.read_text()
    for text in (f"udp:127.0.0.1:{service.port}, once", "seconds of silence", "ended"):
        assert text in drawn


# conntrack


@pytest.fixture(scope="module")
def hosts() -> Iterator[Pair]:
    """
    Two hosts joined by a wire; the near one has a firewall that knows flows.
    """
    with pair() as made:
        track = ["iptables", "-A", "INPUT", "-m", "conntrack", "--ctstate"]
        made.near.execute(*track, "ESTABLISHED", "-j", "ACCEPT")
        try:
            made.near.setting("netfilter/nf_conntrack_udp_timeout", 1)
        except OSError:
            pytest.skip("this kernel has no conntrack")
        made.near.setting("netfilter/nf_conntrack_udp_timeout_stream", 3)
        made.near.setting("netfilter/nf_conntrack_tcp_timeout_established", 2)
        made.near.setting("netfilter/nf_conntrack_tcp_loose", 0)
        # Each flow can begin once: what comes later belongs to none.
        begins = "-p udp -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1"
        each = "--hashlimit-mode srcip,srcport --hashlimit-name begins -j ACCEPT"
        made.near.execute(*track, "NEW", *begins.split(), *each.split())
        made.near.execute(
            "iptables", "-A", "INPUT", "-p", "udp", "--dport", "7000:7999", "-j", "DROP"
        )
        yield made


@pytest.fixture
def firewalled(hosts: Pair, tmp_path: Path) -> Iterator[Server]:
    """
    The service behind it.
    """
    with hosts.near.ours(tmp_path) as server:
        yield server


FINE = ("--first=0.5", "--longest=8", "--precision=0.25", "--timeout=2")


@pytest.mark.slow
def test_conntrack(hosts: Pair, firewalled: Server) -> None:
    """
    The timeouts of conntrack are found: that of a datagram and its reply, that of a stream
    of datagrams, and that of a connection, which keepalives keep.
    """
    rule = ["iptables", "-A", "INPUT", "-p", "tcp", "-m", "conntrack", "--ctstate", "INVALID"]
    hosts.near.execute(*rule, "-j", "DROP")
    with hosts.far.inside():
        found = searched(f"{hosts.near.v4}:{firewalled.port}", *FINE)
    hosts.near.execute("iptables", "-D", *rule[2:], "-j", "DROP")
    for mode, keeps in (("once", 1), ("stream", 3), ("silent", 2)):
        assert found[mode]["isDone"]
        survived, ended = found[mode]["survivedNs"] / SECOND, found[mode]["endedNs"] / SECOND
        # It counts in ticks of its clock (jiffies), and begins when the reply passes by.
        assert survived <= keeps + 0.3 and ended >= keeps - 0.05
        assert ended - survived <= 0.25
        assert found[mode]["ending"] == "silence"
    assert found["keepalive"]["keepaliveNs"] == SECOND
    assert found["keepalive"]["endedNs"] is None
    assert found["keepalive"]["survivedNs"] == 2 * found["silent"]["endedNs"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "reject", "told"),
    [
        ("silent", "tcp-reset", ("reset", "RST: Connection reset by peer (errno 104)")),
        ("silent", "icmp-host-prohibited", ("icmp", "No route to host (errno 113)")),
        ("once", "icmp-admin-prohibited", ("icmp", "ICMP prohibited from {}")),
    ],
)
def test_rejects(
    hosts: Pair, firewalled: Server, mode: str, reject: str, told: tuple[str, str]
) -> None:
    """
    How a firewall refuses a flow that it has forgotten is told.
    """
    kind = {"silent": "tcp", "once": "udp"}[mode]
    rule = {
        "tcp": "-p tcp -m conntrack --ctstate INVALID -j REJECT --reject-with",
        "udp": "-p udp --dport 7000:7999 -j REJECT --reject-with",
    }[kind]
    place = {"tcp": "1", "udp": "3"}[kind]
    hosts.near.execute("iptables", "-I", "INPUT", place, *rule.split(), reject)
    with hosts.far.inside():
        target = f"{kind}:{hosts.near.v4}:{firewalled.port}"
        found = searched(target, *FINE, f"--only={mode}")[mode]
    hosts.near.execute("iptables", "-D", "INPUT", place)
    assert (found["ending"], found["reason"]) == (told[0], told[1].format(hosts.near.v4))
    assert found["isDone"]
