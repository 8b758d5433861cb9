"""
The probe as a program, against services that misbehave and count, and against ours.
"""

from __future__ import annotations

import csv
import json
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

import echotwist.probe
from echotwist.probe.command import run
from tests.support.live import (
    PATIENCE,
    REACTORS,
    ROOT,
    Server,
    freePort,
    ours,
    ownProtocol,
    waitUntil,
)
from tests.support.probing import PROGRAM, WELL, Misbehaving, measured, probe, reported, streams

SCHEMA = json.loads(Path(echotwist.probe.__file__).with_name("schema.json").read_text())

#: Probes enough for each kind of misbehaviour, in a third of a second.
MANY = ("--count=300", "--rate=1000")


def whole(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
    """
    Answer as an echo should.
    """
    return [(0, data)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service, as it is by default, on a free port.
    """
    with ours(tmp_path_factory.mktemp("service")) as service:
        yield service


# What is told is what was done


def test_losses() -> None:
    """
    Losses are those of the service, one by one and in runs.
    """

    def lose(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        isLost = number % 10 == 0 or 101 <= number <= 117
        did["lost"] += isLost
        return [] if isLost else [(0, data)]

    with Misbehaving(lose) as service:
        found = measured(service.target, *MANY, "--timeout=5", "--payload=zeros")
    lost = found["lost"]
    assert found["sent"] == 300
    assert lost["count"] == lost["unanswered"] == service.did["lost"] == 46
    assert found["back"] == 300 - 46
    assert lost["share"] == 46 / 300
    # 101 to 117, with 110 in the middle; 10, 20 ... 100 is right before it.
    assert lost["runs"]["longest"] == 18
    assert lost["runs"]["count"] == 9 + 1 + 19
    assert found["clock"] == "kernel"


def test_twice() -> None:
    """
    Second replies are counted, and nothing else for them.
    """

    def repeat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        more = number % 7 == 0
        did["twice"] += 2 * more
        return [(0, data)] * (1 + 2 * more)

    with Misbehaving(repeat) as service:
        found = measured(service.target, *MANY, "--timeout=10")
    assert found["twice"] == service.did["twice"] == 2 * 42
    assert (found["sent"], found["back"], found["damaged"]) == (300, 300, 0)
    assert found["reordered"]["count"] == 0


def test_order() -> None:
    """
    Replies that come in another order are counted as RFC 4737 does, with how far they
    are from their place.
    """
    held: list[bytes] = []

    def mix(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        held.append(data)
        if len(held) < 4:
            return []
        batch, held[:] = [*held], []
        did["batches"] += 1
        return [(0, batch[place]) for place in (3, 0, 1, 2)]

    with Misbehaving(mix) as service:
        found = measured(service.target, *MANY, "--timeout=10")
    assert service.did["batches"] == 75
    assert found["back"] == 300
    assert found["reordered"]["count"] == 3 * 75
    assert found["reordered"]["share"] == 0.75
    assert found["reordered"]["extentMax"] == 3
    assert found["reordered"]["extentMean"] == 2


@pytest.mark.parametrize("size", [16, 24, 64, 1400])
def test_damage(size: int) -> None:
    """
    Each reply with other bytes is counted, wherever the damage is, and the probe that
    it answers is not lost.
    """
    chance = random.Random(size)

    def damage(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if number % 3:
            return [(0, data)]
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        did["damaged"] += 1
        return [(0, bytes(changed))]

    count = 300
    with Misbehaving(damage) as service:
        found = measured(service.target, *MANY, "--timeout=10", f"--size={size}")
    assert found["damaged"] == service.did["damaged"] == count // 3
    assert (found["back"], found["lost"]["count"], found["strange"]) == (count, 0, 0)
    assert found["damage"]["patterns"] == [{"pattern": "1 bit flipped", "count": count // 3}]
    assert found["damage"]["first"]["number"] == 3


def test_cut() -> None:
    """
    Replies that are cut or grow are damaged, and it is said how.
    """

    def cut(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        return [(0, data[:40] if number % 2 else b"You said : " + data)]

    with Misbehaving(cut) as service:
        found = measured(service.target, "--count=6", "--rate=20")
    assert (found["back"], found["damaged"], found["lost"]["count"]) == (6, 6, 0)
    patterns = {one["pattern"]: one["count"] for one in found["damage"]["patterns"]}
    assert patterns == {"cut to 40 of 64 bytes": 3, "11 bytes put before": 3}
    assert found["damage"]["first"] == {
        "number": 1,
        "bit": 320,
        "pattern": "cut to 40 of 64 bytes",
        "expected": found["damage"]["first"]["expected"],
        "got": "",
    }


def test_late() -> None:
    """
    What comes after the timeout is late, and not lost; the rest is not late.
    """
    held: list[bytes] = []

    def delay(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        held.append(data)
        return [(0, one) for one in {2: [], 4: [data, *held[1:2]]}.get(number, [data])]

    with Misbehaving(delay) as service:
        found = measured(service.target, "--count=4", "--interval=2", "--timeout=3")
    assert (found["sent"], found["back"], found["late"]) == (4, 3, 1)
    assert (found["lost"]["count"], found["damaged"]) == (0, 0)
    assert found["rttNs"]["max"] < 3e9
    assert found["reordered"] == {"count": 1, "share": 0.25, "extentMean": 2, "extentMax": 2}


def test_strangers() -> None:
    """
    A reply that is none of ours, if there is more than one it might be, is nobody's.
    """

    def other(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        return [(0.5, data), (0.0, b"?" * 64)] if number == 3 else [(0.5, data)]

    with Misbehaving(other) as service:
        found = measured(service.target, "--count=5", "--rate=20", "--timeout=10")
    assert (found["back"], found["strange"], found["damaged"]) == (5, 1, 0)


def test_all() -> None:
    """
    All kinds of misbehaviour at once, by chance: the numbers are still the service's.
    """
    chance = random.Random(862)

    def misbehave(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        roll = chance.random()
        if roll < 0.1:
            did["lost"] += 1
            return []
        if roll < 0.2:
            did["damaged"] += 1
            changed = bytearray(data)
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            return [(0, bytes(changed))]
        if roll < 0.3:
            did["twice"] += 1
            return [(0, data), (chance.random() / 50, data)]
        return [(0, data)]

    with Misbehaving(misbehave) as service:
        found = measured(service.target, "--count=2000", "--rate=2000", "--timeout=5")
    did = service.did
    assert found["sent"] == 2000
    assert (found["lost"]["count"], found["damaged"], found["twice"]) == (
        did["lost"],
        did["damaged"],
        did["twice"],
    )


# Why probes are lost


def test_icmp() -> None:
    """
    It is told what ICMP says, and from where; what it says of one fails no other.
    """
    found = measured(f"udp:127.0.0.1:{freePort()}", "--count=20", "--rate=500", status=3)
    reasons = [{"reason": "ICMP port unreachable from 127.0.0.1", "count": 20}]
    assert found["lost"]["reported"] == {"count": 20, "reasons": reasons}
    assert (found["lost"]["neverLeft"]["count"], found["lost"]["unanswered"]) == (0, 0)


def test_icmp6() -> None:
    """
    So it is over IPv6.
    """
    found = measured(f"udp:[::1]:{freePort()}", "--count=2", "--rate=50", status=3)
    [reason] = found["lost"]["reported"]["reasons"]
    assert reason == {"reason": "ICMP port unreachable from ::1", "count": 2}


def test_refused() -> None:
    """
    Where nobody listens on TCP no probe ever leaves, and it is said why.
    """
    found = measured(f"tcp:127.0.0.1:{freePort()}", "--count=3", "--rate=50", status=3)
    neverLeft = found["lost"]["neverLeft"]
    assert (found["sent"], neverLeft["count"]) == (3, 3)
    # One that is late may be sent before the answer to the connection of that before it is read.
    refused = [one for one in neverLeft["reasons"] if "refused (errno 111)" in one["reason"]]
    assert sum(one["count"] for one in refused) >= 1


def test_largest() -> None:
    """
    A datagram may be as large as the kernel takes it.
    """
    with Misbehaving(whole) as service:
        found = measured(service.target, "--count=2", "--rate=50", "--size=65507")
    assert found["back"] == 2


def test_dropped() -> None:
    """
    A service that closes its connections loses what is under way; the next probe makes
    a new one.
    """

    def once(connection: socket.socket) -> None:
        connection.sendall(connection.recv(100))
        connection.recv(100)

    with streams(once) as target:
        found = measured(target, "--count=10", "--rate=10", "--timeout=10")
    lost = found["lost"]
    assert found["back"] >= 3
    assert found["back"] + lost["count"] == 10
    assert lost["reported"]["reasons"][0]["reason"] == "the service closed the connection"


def test_stuck() -> None:
    """
    When a connection takes no more, probes never leave, and nothing piles up.
    """

    def stick(connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        while connection.recv(1, socket.MSG_PEEK):
            time.sleep(0.05)
            if ended:
                return

    ended: list[bool] = []
    with streams(stick) as target:
        words = ("--count=60", "--rate=100", "--size=1000000", "--timeout=0.5")
        found = measured(target, *words, status=3)
        ended.append(True)
    reasons = found["lost"]["neverLeft"]["reasons"]
    assert [one["reason"] for one in reasons] == ["the connection takes no more"]
    assert found["lost"]["unanswered"] + reasons[0]["count"] == 60


# Every kind of service


def test_kinds(server: Server, tmp_path: Path) -> None:
    """
    UDP and TCP, IPv4 and IPv6, of ours: all comes back, and the kernel says when.
    """
    places = (f"127.0.0.1:{server.port}", f"[::1]:{server.port}")
    # On TCP the kernel's stamps are for one probe at a time.
    report = reported(*places, "--count=4", "--rate=4", "--timeout=10", "--size=1000")
    names = [result["target"] for result in report["results"]]
    assert names == [f"{kind}:{place}" for place in places for kind in ("udp", "tcp")]
    for result in report["results"]:
        assert (result["sent"], result["back"], result["damaged"]) == (4, 4, 0)
        assert result["clock"] == "kernel"
        assert result["rttNs"]["max"] <= result["userRttNs"]["max"]
        assert (result["ackNs"] is not None) == (result["kind"] == "tcp")
    jsonschema.validate(report, SCHEMA)


def test_unix(tmp_path: Path) -> None:
    """
    UNIX streams and datagrams, by a path or an abstract name, and raw IP.
    """
    stream, datagrams, protocol = tmp_path / "stream", tmp_path / "datagrams", ownProtocol()
    waysIn = (f"--listen=unix:{stream}", f"--unix-datagram={datagrams}", f"--raw={protocol}")
    with ours(tmp_path, waysIn=waysIn):
        places = (f"unix:{stream}", f"unix-datagram:{datagrams}", f"raw:127.0.0.1:{protocol}")
        words = ("--count=5", "--rate=100", "--timeout=10")
        for place in places[:2]:
            result = measured(place, *words)
            assert (result["back"], result["damaged"], result["clock"]) == (5, 0, "user")
        done = probe(places[2], *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "would be taken for replies; say --source" in done.stderr
        result = measured(places[2], *words, "--source=127.0.0.9")
        assert (result["back"], result["twice"], result["clock"]) == (5, 0, "kernel")


def test_tls(tmp_path: Path) -> None:
    """
    TLS: a certificate must be trusted, or taken as it is.
    """
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*words.split(), *subject], check=True, capture_output=True)
    listen = f"--listen=ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1"
    with ours(tmp_path, waysIn=(listen,)) as service:
        options = ("--count=5", "--rate=50", "--timeout=10", "--ipv4")
        target = f"tls:localhost:{service.port}"
        result = measured(target, *options, f"--ca={certificate}")
        assert (result["back"], result["damaged"], result["clock"]) == (5, 0, "user")
        assert measured(f"tls:127.0.0.1:{service.port}", *options, "--insecure")["back"] == 5
        result = measured(target, *options, status=3)
        reasons = [one["reason"] for one in result["lost"]["neverLeft"]["reasons"]]
        assert "certificate verify failed; see --ca and --insecure" in reasons
        place = f"tls:127.0.0.1:{service.port}"
        result = measured(place, "--count=1", "--rate=50", f"--ca={certificate}", status=3)
        reasons = [one["reason"] for one in result["lost"]["neverLeft"]["reasons"]]
        assert reasons == ["the certificate is not for 127.0.0.1; see --insecure"]


@pytest.mark.parametrize("reactor", REACTORS)
def test_reactors(server: Server, reactor: str) -> None:
    """
    It measures by the kernel's stamps with each of Twisted's reactors.
    """
    place = f"127.0.0.1:{server.port}"
    # The socket has room for as many replies and stamps, should the probe sleep meanwhile.
    words = ("--count=100", "--rate=1000", "--timeout=10", f"--reactor={reactor}")
    for result in reported(place, *words)["results"]:
        assert (result["back"], result["damaged"]) == (100, 0)
        if result["kind"] == "udp":
            assert (result["clock"], result["rttNs"]["count"]) == ("kernel", 100)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 23, 24, 65507])
def test_sizes(server: Server, size: int) -> None:
    """
    Probes have any size that a datagram can have.
    """
    words = ("--count=3", "--rate=50", f"--size={size}", "--timeout=10")
    result = measured(f"udp:127.0.0.1:{server.port}", *words)
    assert (result["back"], result["damaged"], result["size"]) == (3, 0, size)


def test_source(server: Server) -> None:
    """
    Address and port that probes come from can be said.
    """
    port = freePort()
    words = ("--count=2", "--rate=50", "--source=127.0.0.3", f"--source-port={port}")
    for result in reported(f"127.0.0.1:{server.port}", *words)["results"]:
        assert result["source"] == f"127.0.0.3:{port}"
        assert result["back"] == 2


def test_marks() -> None:
    """
    Probes bear the code point and the hop limit that were said.
    """
    for family, host, wants, gets, level in (
        (socket.AF_INET, "127.0.0.1", (13, 12), (1, 2), socket.IPPROTO_IP),
        (
            socket.AF_INET6,
            "::1",
            (socket.IPV6_RECVTCLASS, socket.IPV6_RECVHOPLIMIT),
            (socket.IPV6_TCLASS, socket.IPV6_HOPLIMIT),
            socket.IPPROTO_IPV6,
        ),
    ):
        with socket.socket(family, socket.SOCK_DGRAM) as service:
            for option in wants:
                service.setsockopt(level, option, 1)
            service.bind((host, 0))
            service.settimeout(PATIENCE)
            place = f"[{host}]" if ":" in host else host
            words = ("--count=1", "--timeout=0.1", "--dscp=ef", "--hop-limit=5")
            probe(f"udp:{place}:{service.getsockname()[1]}", *words)
            _, told, _, _ = service.recvmsg(100, 200)
            assert {kind: data[0] for _, kind, data in told} == dict(
                zip(gets, (46 << 2, 5), strict=True)
            )


def test_payload() -> None:
    """
    What comes after the header of a probe can be said, and the seed makes the rest.
    """
    seen: list[bytes] = []

    def look(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        seen.append(data)
        return [(0, data)]

    with Misbehaving(look) as service:
        for words in (["--payload=hello"], ["--payload=zeros"], ["--seed=1"], ["--seed=1"]):
            measured(service.target, "--count=1", *words)
    assert seen[0][24:] == b"hello"
    assert seen[1][24:] == bytes(40)
    assert [len(one) for one in seen[2:]] == [64, 64]
    assert len({one[24:] for one in seen}) == 4


# What it says, and how it ends


def test_jsonSchema() -> None:
    """
    What it says of a bad measurement is as the schema has it, too.
    """

    def bad(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        return [(0, data[1:])] * 2 if number % 2 else []

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    with Misbehaving(bad) as service:
        places = (service.target, f"udp:127.0.0.1:{freePort()}")
        words = ("--count=4", "--rate=20", "--timeout=0.5", "--fail-if=damaged>0")
        report = reported(*places, *words, status=3)
    jsonschema.validate(report, SCHEMA)
    assert report["results"][0]["damage"]
    assert [one["held"] for one in report["verdicts"]] == [False, True]


def test_lines() -> None:
    """
    ``--jsonl`` has an object for each probe, ``--csv`` a line.
    """

    def third(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        return [(0, data)] * (number % 3)

    with Misbehaving(third) as service:
        words = (service.target, "--count=3", "--rate=20", "--timeout=1")
        rows = [json.loads(line) for line in probe(*words, "--jsonl").stdout.splitlines()]
        table = list(csv.DictReader(probe(*words, "--csv").stdout.splitlines()))
    outcomes = [(row["number"], row["outcome"]) for row in rows]
    assert outcomes == [(1, "back"), (2, "back"), (2, "twice"), (3, "lost")]
    assert rows[0]["rttNs"] > 0
    assert rows[0]["clock"] == "kernel"
    assert [row["outcome"] for row in table] == [row["outcome"] for row in rows]
    assert set(table[0]) == set(rows[0])


def test_verdicts() -> None:
    """
    The exit status tells whether all held.
    """
    with Misbehaving(lambda did, number, data: [(0, data)] * (number != 2)) as service:
        words = (service.target, "--count=4", "--interval=0.4", "--timeout=0.5")
        done = probe(*words, "--fail-if=loss>30%", "--fail-if", "late>0")
        assert done.returncode == 0
        assert f"held   {service.target}: loss>30%: 25 %" in done.stdout
    with Misbehaving(lambda did, number, data: [(0, data)] * (number != 2)) as service:
        words = (service.target, "--count=4", "--interval=0.4", "--timeout=0.5")
        done = probe(*words, "--fail-if=loss>20%", "--fail-if", "late>0")
        assert done.returncode == 1
        assert f"FAILED {service.target}: loss>20%: 25 %" in done.stdout


def test_silence() -> None:
    """
    When nothing comes back the status is 3, whatever else is.
    """
    with Misbehaving(lambda did, number, data: []) as service:
        done = probe(service.target, "--count=2", "--rate=20", "--timeout=0.3", "--fail-if=late>0")
    assert done.returncode == 3
    assert "2 left, unanswered" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(number: int) -> None:
    """
    ^C prints what was found until then, and the status is that of it; what is still
    under way is neither back nor lost.
    """

    def count(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        did["came"] += 1
        return [(0, data)] if number <= 5 else []

    words = ("--rate=20", "--json", "--timeout=1000")
    with Misbehaving(count) as service:
        running = subprocess.Popen(
            [*PROGRAM, service.target, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        waitUntil(lambda: service.did["came"] > 8, "it has sent")
        running.send_signal(number)
        said, errors = running.communicate(timeout=PATIENCE)
    assert not errors
    [found] = json.loads(said)["results"]
    assert running.returncode in WELL
    assert (found["back"], found["lost"]["count"]) == (5, 0)
    assert found["waiting"] == found["sent"] - 5 > 3


def test_stopped() -> None:
    """
    A probe that was stopped says that it did not send what was due, with status 4.
    """

    def count(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        did["came"] += 1
        return [(0, data)]

    words = ("--rate=50", "--count=100", "--json", "--timeout=60")
    with Misbehaving(count) as service:
        running = subprocess.Popen(
            [*PROGRAM, service.target, *words], cwd=ROOT, stdout=subprocess.PIPE
        )
        waitUntil(lambda: service.did["came"] > 5, "it has sent")
        running.send_signal(signal.SIGSTOP)
        time.sleep(2)
        running.send_signal(signal.SIGCONT)
        said, _ = running.communicate(timeout=PATIENCE)
    [found] = json.loads(said)["results"]
    assert running.returncode == 4
    assert (found["sent"], found["back"]) == (100, 100)
    assert found["skipped"] >= 40
    assert "were not sent, as they were too late" in found["tooSlow"][0]


def test_pipe() -> None:
    """
    It ends without a word when nobody reads what it says any more.
    """
    with Misbehaving(whole) as service:
        running = subprocess.Popen(
            [*PROGRAM, service.target, "--rate=100", "--jsonl"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        running.wait(PATIENCE)
        assert running.stderr is not None
        with running.stderr as errors:
            assert not errors.read()


@pytest.mark.parametrize(
    ("format", "rate"), [("--json", 100), ("--jsonl", 100), ("--jsonl", 5000), ("--csv", 5000)]
)
def test_full(format: str, rate: int) -> None:
    """
    It ends with one line and status 4 when what it says can be written nowhere, be it
    while the reactor waits or while a session waits for its next probe.
    """
    with Misbehaving(whole) as service, open("/dev/full", "w") as full:
        words = [*PROGRAM, service.target, "--count=30", f"--rate={rate}", format]
        done = subprocess.run(
            words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE
        )
    assert done.stderr == "echoprobe: cannot write: No space left on device (errno 28)\n"
    assert done.returncode == 4


def test_closed() -> None:
    """
    With a standard output that is closed it measures all the same.
    """
    with Misbehaving(whole) as service:
        words = [*PROGRAM, service.target, "--count=3", "--rate=100"]
        shell = ["sh", "-c", 'exec "$@" >&-', "sh", *words]
        done = subprocess.run(shell, cwd=ROOT, capture_output=True, timeout=PATIENCE)
    assert (done.returncode in WELL, done.stderr) == (True, b"")


def test_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A mistake is one line that says what was wrong, with status 2.
    """
    for words, said in {
        (): "no target",
        ("udp:host:0",): "udp:host:0: the port is not a whole number",
        ("udp:nonesuch.invalid",): "nonesuch.invalid: Name or service not known",
        ("127.0.0.1", "--rate=0"): "--rate 0: not a number from 0.000001 to 100,000",
        ("127.0.0.1", "--rate=0.0000000001"): "--rate 0.0000000001: not a number from 0.000001",
        ("127.0.0.1", "--rate=1e5", "--timeout=42"): "--rate 1e5: not a number",
        (
            "127.0.0.1",
            "--rate=100000",
            "--timeout=42",
        ): "timeout 42: over 4,194,304 probes under way",
        ("127.0.0.1", f"--seed={65 * 'x'}"): "--seed: 65 bytes, more than 64",
        ("load", "127.0.0.1", f"--seed={33 * 'é'}"): "--seed: 66 bytes, more than 64",
        ("explain", "nonesuch.pcap", f"--seed={65 * 'x'}"): "--seed: 65 bytes, more than 64",
        (f"unix:/{107 * 'x'}",): "names of sockets have 107 bytes at the most",
        (f"unix:@{108 * 'x'}",): "names of sockets have 107 bytes at the most",
        ("doctor", f"unix-datagram:{54 * 'é'}"): "names of sockets have 107 bytes at the most",
        ("127.0.0.1", "--rate=5", "--interval=1"): "do not go together",
        ("127.0.0.1", "--count=x"): "--count x: not a whole number",
        ("127.0.0.1", "--fail-if=p98>1ms"): "p98 is not measured; shares (%): loss; counts: sent,",
        ("127.0.0.1", "--payload=@/nonesuch"): "@/nonesuch: No such file or directory",
        ("127.0.0.1", "--dscp=best"): "--dscp best: not a whole number",
        ("127.0.0.1", "--source=198.51.100.1"): "--source 198.51.100.1: Cannot assign requested",
        ("127.0.0.1", "--interface=nonesuch0"): "--interface nonesuch0: No such device (errno 19)",
        ("127.0.0.1", "--reactor=nonesuch"): "reactor nonesuch",
        ("127.0.0.1", "--nonesuch"): "option --nonesuch not recognized",
        ("udp:8.8.8.8", "--rate=1001"): "--flood",
        ("udp:[2606:4700::1]", "--rate=1001"): "--flood",
        ("unix:/nonesuch", "--source=127.0.0.1"): "a UNIX socket has no addresses",
        ("tcp:127.0.0.1", "--size=0"): "a stream knows no probes of 0 bytes",
        ("udp:127.0.0.1", "--size=65508"): "a datagram there has 65507 at the most",
        ("udp:[::ffff:127.0.0.1]", "--size=65508"): "a datagram there has 65507 at the most",
        ("udp:[::1]", "--size=65528"): "a datagram there has 65527 at the most",
        ("raw:127.0.0.1", "--size=65516"): "a datagram there has 65515 at the most",
        ("udp:[fe80::1%lo]:7",): "its network interface does not lead there",
        ("tcp:[fe80::1]:7",): "needs its network interface, as in fe80::1%eth0",
        ("udp:[ff02::1]:7",): "needs its network interface, as in ff02::1%eth0",
        ("udp:[fe80::1%]:7",): "no network interface after the %",
        ("udp:[fe80::1%nonesuch]:7",): "there is no network interface nonesuch",
        ("udp:[::1%lo]:7",): "only link-local IPv6 addresses have a network interface (%lo)",
        ("udp:127.0.0.1%lo:7",): "only link-local IPv6 addresses have a network interface (%lo)",
        ("udp:[::1]", "--source=fe80::1"): "--source fe80::1: a link-local address needs",
        ("udp:255.255.255.255",): "a broadcast address is not asked",
        ("tls:127.0.0.1", "--ca=/dev/null"): "no certificates",
        ("127.0.0.1", "--ipv6"): "Address family for hostname not supported",
    }.items():
        assert run(words) == 2, words
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert error.startswith("echoprobe: ")
        assert said in error


def test_help() -> None:
    """
    The help is one screen.
    """
    done = probe("--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 50
    assert all(len(line) < 80 for line in done.stdout.splitlines())
