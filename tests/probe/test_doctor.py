"""
``echoprobe doctor``: services that are right in all, and services each of which has
one fault.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from typing import Any, cast

import jsonschema
import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet.threads import deferToThread

import echotwist.probe.doctor
from echotwist.probe.command import run
from echotwist.probe.doctor import examination
from echotwist.probe.doctor.datagrams import DATAGRAM_CHECKS, SIZES
from echotwist.probe.doctor.findings import (
    Limits,
    NotApplicable,
    Wrong,
    askedAddresses,
    everyone,
    inOrder,
    prompt,
    repeated,
    same,
    stopped,
)
from echotwist.probe.doctor.settings import DoctorSettings
from echotwist.probe.doctor.streams import STREAM_CHECKS
from echotwist.probe.places import Place, Way, findAll
from echotwist.probe.target import Target, targetsOf
from echotwist.reactors import IReactor
from tests.support.live import PATIENCE, ROOT, freePort, ours
from tests.support.peers import identity
from tests.support.probing import PROGRAM, Misbehaving, Treat, probe

CHECKS = (STREAM_CHECKS, DATAGRAM_CHECKS)

SCHEMA = json.loads(Path(echotwist.probe.doctor.__file__).with_name("schema.json").read_text())

#: For services of the tests, whose buffers are small: nothing takes long, but what never
#: comes is waited for.
SHORT = Limits(
    answer=2.0, stall=0.4, beat=0.02, check=30, whole=100, bulk=2**21, most=2**23, crowd=60
)


class Silent:
    """
    Writes nothing.
    """

    def begin(self, _: object) -> None:
        """
        Ignore what is found.
        """

    tell = end = begin


async def examined(*words: str, limits: Limits = SHORT, **settings: Any) -> dict[str, Any]:
    """
    Examine targets in this process, and give the report.
    """
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    targets = [target for word in words for target in targetsOf(word)]
    one = examination.Examination(reactor, DoctorSettings(**settings), targets, Silent(), limits)
    status = await one.run()
    report = one.report()
    assert report["status"] == status
    jsonschema.validate(report, SCHEMA)
    return report


def states(report: dict[str, Any], state: str) -> dict[str, str]:
    """
    Return the reasons of all checks with a state, by their names.
    """
    return {
        check["name"]: check["reason"]
        for result in report["results"]
        for check in result["checks"]
        if check["state"] == state
    }


# Services that are right


@pytest.mark.parametrize(
    "way",
    [
        pytest.param((), id="fast"),
        pytest.param(("--portable",), id="portable", marks=pytest.mark.slow),
    ],
)
@pytest_twisted.ensureDeferred
async def test_ours(tmp_path: Path, way: tuple[str, ...]) -> None:
    """
    With ours everything is right, over TCP and UDP, TLS and UNIX sockets.
    """
    made = identity(tmp_path)
    door, box = tmp_path / "echo.sock", tmp_path / "echo.dgram"
    more = (f"--listen=unix:{door}", f"--unix-datagram={box}")
    secure = f"--listen=ssl:0:interface=127.0.0.1:privateKey={made.key}:certKey={made.certificate}"
    limits = evolve(SHORT, answer=PATIENCE / 4, most=2**26)
    with ours(tmp_path, *way, *more, secure) as server:
        number = server.waitFor(r"TLS \S*:(\d+)")[1]
        targets = (f"127.0.0.1:{server.port}", f"tls:127.0.0.1:{number}", f"unix:{door}")
        report = await examined(
            *targets, f"unix-datagram:{box}", limits=limits, ca=str(made.certificate)
        )
        stranger = await examined(targets[1], limits=limits)
    assert states(report, "wrong") == {}
    assert report["status"] == 0
    assert "certificate verify failed" in states(stranger, "wrong")["answers"]
    assert {*states(report, "not applicable")} == {"addresses", "asked-address"}
    checks = [check for result in report["results"] for check in result["checks"]]
    assert sum(check["state"] == "ok" for check in checks) >= 3 * 12 + 2 * 13


def test_count() -> None:
    """
    There are enough checks, each with a name of its own, what is right, and advice.
    """
    assert len(STREAM_CHECKS) + len(DATAGRAM_CHECKS) >= 18
    for checks in (STREAM_CHECKS, DATAGRAM_CHECKS):
        assert len({one.name for one in checks}) == len(checks)
        assert all(one.about.endswith(".") and one.advice.endswith(".") for one in checks)


# Services of streams with a fault

Serve = Callable[[socket.socket], None]


def echo(one: socket.socket, change: Callable[[bytes], bytes] = lambda data: data) -> None:
    """
    Echo until the end.
    """
    while data := one.recv(2**16):
        one.sendall(change(data))


def abort(one: socket.socket) -> None:
    """
    Reset a connection.
    """
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Streams:
    """
    A TCP service with a thread for each connection.

    :param serve: serves one; it is closed then.
    :param isSequential: one after the other, without threads.
    :param delays: leave Nagle's algorithm on.
    :param backlog: connections that may wait to be accepted.
    """

    def __init__(
        self, serve: Serve, isSequential: bool = False, delays: bool = False, backlog: int = 256
    ) -> None:
        self._serve = serve
        self._isSequential = isSequential
        self._delays = delays
        self._threads: list[Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._listener.setsockopt(socket.SOL_SOCKET, option, 2**16)
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not self._delays)
            self._open.append(one)
            if self._isSequential:
                self._one(one)
            else:
                self._threads.append(Thread(target=self._one, args=[one]))
                self._threads[-1].start()

    def _one(self, one: socket.socket) -> None:
        with suppress(OSError), one:
            self._serve(one)

    def __enter__(self) -> str:
        self._thread.start()
        return f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in [*self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *self._threads):
            thread.join(PATIENCE)


def closing(one: socket.socket) -> None:
    """
    Answer nobody.
    """


def dropping(one: socket.socket) -> None:
    """
    Lose each byte 0xff, but not of bulk.
    """
    echo(one, lambda data: data.replace(b"\xff", b"") if len(data) < 1000 else data)


def gathering(one: socket.socket) -> None:
    """
    Wait for more where there is little that begins with an n.
    """
    got = b""
    while data := one.recv(2**16):
        got += data
        if len(got) >= 100 or not got.startswith(b"n"):
            one.sendall(got)
            got = b""


def losing(one: socket.socket) -> None:
    """
    Lose the last byte before a half-close, which is the 100,000th.
    """
    total = 0
    while data := one.recv(2**16):
        total += len(data)
        one.sendall(data[:-1] if total == 100_000 else data)


def staying(one: socket.socket) -> None:
    """
    Never close after a half-close.
    """
    echo(one)
    while one.getpeername():  # Until the test ends the connection.
        time.sleep(0.02)


def resetting(one: socket.socket) -> None:
    """
    Reset a client that half-closes and has sent nothing.
    """
    if data := one.recv(2**16):
        one.sendall(data)
        echo(one)
    else:
        abort(one)


def cutting(one: socket.socket) -> None:
    """
    Lose a byte in the second MiB.
    """
    total = 0
    while data := one.recv(2**16):
        before, total = total, total + len(data)
        one.sendall(data[:-1] if before <= 2**20 < total else data)


def hoarding(one: socket.socket) -> None:
    """
    Take all, whether answers are taken or not.
    """
    waiting: SimpleQueue[bytes] = SimpleQueue()

    def write() -> None:
        with suppress(OSError):
            while data := waiting.get():
                one.sendall(data)

    thread = Thread(target=write)
    thread.start()
    try:
        while data := one.recv(2**16):
            waiting.put(data)
    finally:
        waiting.put(b"")
        thread.join()


def blocking() -> Serve:
    """
    Have a write that waits hold up all others.
    """
    lock = Lock()

    def serve(one: socket.socket) -> None:
        while data := one.recv(2**16):
            with lock:
                one.sendall(data)

    return serve


def few() -> Serve:
    """
    Serve no more than 40 at once.
    """
    places = Semaphore(40)

    def serve(one: socket.socket) -> None:
        if places.acquire(blocking=False):
            try:
                echo(one)
            finally:
                places.release()

    return serve


def sleeping(one: socket.socket) -> None:
    """
    Answer small pieces after 40 ms.
    """

    def slow(data: bytes) -> bytes:
        time.sleep(0.04 if len(data) < 3 else 0)
        return data

    echo(one, slow)


def dying() -> Serve:
    """
    End all connections when one is reset that has sent little.
    """
    everybody: list[socket.socket] = []

    def serve(one: socket.socket) -> None:
        everybody.append(one)
        total = 0
        try:
            while data := one.recv(2**16):
                total += len(data)
                one.sendall(data)
        except OSError:
            for other in everybody if total < 100 else ():
                with suppress(OSError):
                    other.shutdown(socket.SHUT_RDWR)

    return serve


def impatient(one: socket.socket) -> None:
    """
    End a client that does not take an answer within 0.15 s.
    """
    while data := one.recv(2**16):
        one.settimeout(0.15)
        one.sendall(data)
        one.settimeout(None)


def pausing(one: socket.socket) -> None:
    """
    Answer each small piece apart, also of those that came together.
    """
    while data := one.recv(2**16):
        for piece in [data] if len(data) > 2 else [data[:1], data[1:]]:
            time.sleep(0.005 if len(data) < 3 else 0)
            one.sendall(piece)


STREAM_FAULTS: dict[str, tuple[Callable[[], Streams], set[str]]] = {
    "answers nobody": (lambda: Streams(closing), {"answers"}),
    "drops a byte": (lambda: Streams(dropping), {"bytes"}),
    "waits for more": (lambda: Streams(gathering), {"pieces"}),
    "loses what waits": (lambda: Streams(losing), {"half-close"}),
    "stays": (lambda: Streams(staying), {"half-close", "empty-half-close"}),
    "resets the empty": (lambda: Streams(resetting), {"empty-half-close"}),
    "cuts": (lambda: Streams(cutting), {"whole"}),
    "hoards": (lambda: Streams(hoarding), {"back-pressure"}),
    "blocks all": (lambda: Streams(blocking()), {"others"}),
    "serves few": (lambda: Streams(few()), {"crowd"}),
    "sleeps": (lambda: Streams(sleeping), {"delay"}),
    "waits for acknowledgements": (lambda: Streams(pausing, delays=True), {"delay"}),
    "dies of a reset": (lambda: Streams(dying()), {"resets"}),
    "is impatient": (lambda: Streams(impatient), {"slow-reader"}),
    "serves one by one": (
        lambda: Streams(echo, isSequential=True),
        {"others", "crowd", "resets"},
    ),
    "is right": (lambda: Streams(echo), set()),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
@pytest_twisted.ensureDeferred
async def test_streamFault(name: str) -> None:
    """
    A fault of a service of streams is found, and nothing else is said to be wrong.
    """
    service, faults = STREAM_FAULTS[name]
    running = service()
    target = running.__enter__()
    try:
        report = await examined(target)
    finally:
        await deferToThread(running.__exit__)
    assert {*states(report, "wrong")} == faults, states(report, "wrong")
    assert report["status"] == (3 if "answers" in faults else bool(faults))


def test_allFaults() -> None:
    """
    For each check there is a service that fails it, and it alone.
    """
    found = [faults for _, faults in STREAM_FAULTS.values()]
    names = {one.name for one in STREAM_CHECKS if one.name != "addresses"}
    assert names == {name for faults in found if len(faults) == 1 for name in faults}
    found = [faults for *_, faults in DATAGRAM_FAULTS.values()]
    names = {one.name for one in DATAGRAM_CHECKS}
    assert names == {name for faults in found if len(faults) == 1 for name in faults}


@pytest_twisted.ensureDeferred
async def test_backlog() -> None:
    """
    Where connections wait in vain to be accepted it is said how many were answered, and
    what to do.
    """
    running = Streams(echo, isSequential=True, backlog=3)
    target = running.__enter__()
    try:
        report = await examined(target, limits=evolve(SHORT, answer=0.8, crowd=30), only="crowd")
    finally:
        await deferToThread(running.__exit__)
    [reason] = states(report, "wrong").values()
    assert re.match(r"\d+ of 30 connections at once were answered; unanswered \(\d+\): ", reason)
    assert "no connection in 0.8 s" in reason
    assert "backlog" in report["results"][0]["checks"][-1]["advice"]


@pytest_twisted.ensureDeferred
async def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each address of a name must be served.
    """

    def two(target: Target, way: Way) -> list[Place]:
        [place] = findAll(target, way)
        return [place, Place(place.family, ("127.0.0.2", place.address[1]))]

    monkeypatch.setattr(examination, "findAll", two)
    running = Streams(echo)
    target = running.__enter__()
    try:
        report = await examined(target, only="addresses")
    finally:
        await deferToThread(running.__exit__)
    [reason] = states(report, "wrong").values()
    assert reason.startswith("127.0.0.2:")
    assert "Connection refused" in reason


# Services of datagrams with a fault


def well(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
    """
    Answer as an echo should.
    """
    return [(0, data)]


def swapping() -> Treat:
    """
    Answer numbered datagrams in pairs, the second first.
    """
    held: list[bytes] = []

    def treat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if b":" not in data[:17]:
            return [(0, data)]
        held.append(data)
        if len(held) < 2:
            return []
        pair = [(0.0, one) for one in held[::-1]]
        held.clear()
        return pair

    return treat


def mixing() -> Treat:
    """
    Give each client what the one before it sent.
    """
    last = [b"client 0"]

    def treat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if not data.startswith(b"client"):
            return [(0, data)]
        last.append(data)
        return [(0, last[-2])]

    return treat


def forgetful() -> Treat:
    """
    Answer no small datagram that is equal to one before.
    """
    seen: set[bytes] = set()

    def treat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        isOld = data in seen and data == b"hi\n"
        seen.add(data)
        return [] if isOld else [(0, data)]

    return treat


def less(size: int) -> Treat:
    """
    Cut datagrams of a size; an empty one is not answered.
    """

    def treat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if len(data) != size:
            return [(0, data)]
        return [(0, data[:-1])] if data else []

    return treat


DATAGRAM_FAULTS: dict[str, tuple[Treat, str, set[str]]] = {
    "answers nobody": (lambda *_: [], "127.0.0.1", {"answers"}),
    "drops a byte": (
        lambda did, number, data: [(0, data.replace(b"\xff", b"") if len(data) == 256 else data)],
        "127.0.0.1",
        {"bytes"},
    ),
    "cuts at 8,192": (
        lambda did, number, data: [(0, data[:8192])],
        "127.0.0.1",
        {"size-8193", "size-9000", "size-65507"},
    ),
    **{f"loses of {size}": (less(size), "127.0.0.1", {f"size-{size}"}) for size in SIZES},
    "swaps": (swapping(), "127.0.0.1", {"order"}),
    "mixes": (mixing(), "127.0.0.1", {"clients"}),
    "repeats": (lambda did, number, data: [(0, data), (0, data)], "127.0.0.1", {"once"}),
    "drops repeats": (forgetful(), "127.0.0.1", {"again"}),
    "replies from elsewhere": (well, "0.0.0.0", {"asked-address"}),
    "is right": (well, "127.0.0.1", set()),
}


@pytest.mark.parametrize("name", DATAGRAM_FAULTS)
@pytest_twisted.ensureDeferred
async def test_datagramFault(name: str) -> None:
    """
    A fault of a service of datagrams is found, and nothing else is said to be wrong.
    """
    treat, host, faults = DATAGRAM_FAULTS[name]
    with Misbehaving(treat, host) as service:
        skip = () if "asked-address" in faults else "asked-address"  # It waits for others.
        report = await examined(service.target, skip=skip)
    assert {*states(report, "wrong")} == faults, states(report, "wrong")
    assert report["status"] == (3 if "answers" in faults else bool(faults))


@pytest.mark.parametrize("again", [None, 3], ids=["for good", "for a while"])
@pytest_twisted.ensureDeferred
async def test_dies(again: int | None) -> None:
    """
    What a check ends is not made to look like faults of others: they are not made until
    the service answers again.
    """
    since: list[bytes] = []

    def treat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if since or len(data) == 9000:
            since.append(data)
        return [] if since and (again is None or len(since) <= again) else [(0, data)]

    with Misbehaving(treat) as service:
        report = await examined(service.target, only=("size-9000", "order"))
    assert {*states(report, "wrong")} == {"size-9000"}
    why = "the service has not answered since the check size-9000"
    assert states(report, "not applicable") == ({"order": why} if again is None else {})


# Verdicts


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (b"abcd", "4 of 6 bytes came back"),
        (b"abcdefg", "7 bytes came back of 6"),
        (b"> abcdef", "2 bytes stand before"),
        (b"abXdef", "byte 3 was 0x63, and 0x58 came back"),
        (b"abX", "byte 3 was 0x63, and 0x58 came back"),
    ],
)
def test_same(got: bytes, said: str) -> None:
    """
    What came back is what was sent, or it is said where it differs.
    """
    same(b"abcdef", b"abcdef")
    with pytest.raises(Wrong, match=re.escape(said)):
        same(b"abcdef", got)


def test_prompt() -> None:
    """
    Answers that are held back are told from a far network, and from a busy host.
    """
    assert prompt(0.2, [0.2] * 12, [0.21] * 12)
    assert prompt(0.0, [0.001] * 4 + [1.0] * 8, [0.001] * 4 + [1.0] * 8)
    with pytest.raises(Wrong, match="an answer takes 41"):
        prompt(0.0, [0.041] * 12, [0.041] * 12)
    with pytest.raises(Wrong, match="Nagle"):
        prompt(0.2, [0.2] * 12, [0.24] * 12)


def test_otherVerdicts() -> None:
    """
    The rest of what is judged, at its limits.
    """
    assert stopped(99, 100)
    with pytest.raises(Wrong, match="went on"):
        stopped(100, 100)
    assert inOrder(4, [0, 2, 3])
    with pytest.raises(Wrong, match="1 of 4 datagrams"):
        inOrder(4, [0])
    with pytest.raises(Wrong, match="2 of 4 replies"):
        inOrder(4, [1, 0, 3, 2])
    assert everyone("clients", [None, None]).startswith("each of 2 clients")
    with pytest.raises(
        Wrong, match="2 of 5 clients at once were answered; unanswered \\(2\\): slow"
    ):
        everyone("clients", [None, Wrong("slow"), Wrong("gone"), None, Wrong("slow")])
    assert repeated(5, 4)
    with pytest.raises(Wrong, match="3 of 5"):
        repeated(5, 3)
    assert askedAddresses({"a": "a", "b": "b", "c": None})
    with pytest.raises(NotApplicable):
        askedAddresses({"a": "a", "b": None})
    with pytest.raises(NotApplicable, match="no address answered"):
        askedAddresses({"a": None})
    with pytest.raises(Wrong, match="b was asked, and a replied"):
        askedAddresses({"a": "a", "b": "a"})


# The command


def test_text() -> None:
    """
    Each check is a line, with what to do where it is wrong; the last one sums up.
    """
    with Misbehaving(lambda did, number, data: [(0, data[:8192])]) as service:
        words = ("doctor", service.target, "--only=size-9000", "--only=bytes")
        done = probe(*words)
        report = json.loads(probe(*words, "--json").stdout)
        lines = done.stdout.splitlines()
        assert lines[0].startswith(f"{service.target} (127.0.0.1:")
    assert (done.returncode, done.stderr) == (1, "")
    assert [line[2:17].rstrip() for line in lines[1:4]] == ["ok", "ok", "wrong"]
    assert "8,192 of 9,000 bytes came back" in lines[3]
    assert "buffer of 65,535 bytes" in lines[4]
    assert lines[-1] == "2 ok, 1 wrong, 0 not applicable"
    jsonschema.validate(report, SCHEMA)
    assert (report["schema"], report["version"], report["status"]) == ("echoprobe-doctor", 1, 1)


def test_silence() -> None:
    """
    The status is 3 where nobody is, and no check is made that could tell nothing.
    """
    done = probe("doctor", f"127.0.0.1:{freePort()}")
    assert done.returncode == 3
    assert done.stdout.count("the service does not answer") == sum(map(len, CHECKS)) - 2
    assert done.stdout.count("nothing listens there: Connection refused") == 1
    assert done.stdout.count("no connection: Connection refused") == 1


def test_interrupted() -> None:
    """
    ^C prints what was found until then.
    """
    heard = Event()

    def hear(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        if data == b"hi\n":
            heard.set()
        return [(0, data)]

    with Misbehaving(hear) as service:
        words = [*PROGRAM, "doctor", service.target, "--only=again"]
        running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert heard.wait(PATIENCE)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert "1 ok, 0 wrong, 1 not applicable" in said
    assert "the examination was stopped" in said


@pytest_twisted.ensureDeferred
async def test_limits() -> None:
    """
    A check that is not done in its time is not told, and what there is no time for
    is not made.
    """
    with Misbehaving(well) as service:
        one = await examined(
            service.target, limits=evolve(SHORT, check=0.5, beat=60.0), only="again"
        )
        other = await examined(service.target, limits=evolve(SHORT, whole=0.0), only="answers")
    assert states(one, "not applicable") == {"again": "not done in 0.5 s; see --limit"}
    assert {*states(other, "not applicable").values()} == {"no time is left; see --duration"}


@pytest_twisted.ensureDeferred
async def test_courtesy(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A stranger is not sent much, unless --flood says so.
    """
    monkeypatch.setattr(Place, "isNear", False)
    running = Streams(echo)
    target = running.__enter__()
    try:
        few = await examined(target)
        many = await examined(target, flood=True)
    finally:
        await deferToThread(running.__exit__)
    large = {one.name for one in STREAM_CHECKS if one.isLarge}
    assert {*states(few, "not applicable")} == large | {"addresses"}
    assert {*states(many, "not applicable")} == {"addresses"}
    assert "--flood" in states(few, "not applicable")["whole"]


def test_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A mistake is one line that says what was wrong, with status 2.
    """
    for words, said in {
        (): "no target",
        ("raw:127.0.0.1",): "doctor examines UDP, TCP, TLS and UNIX sockets only",
        ("127.0.0.1", "--only=pulse"): "--only pulse: none of answers, bytes",
        ("127.0.0.1", "--rate=1"): "option --rate not recognized",
        ("127.0.0.1", "-4", "-6"): "do not go together",
        ("unix:/nonesuch", "--source=127.0.0.1"): "a UNIX socket has no addresses",
    }.items():
        assert run(["doctor", *words]) == 2, words
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert error.startswith("echoprobe: ")
        assert said in error


def test_help() -> None:
    """
    The help is one screen.
    """
    done = probe("doctor", "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 40
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
