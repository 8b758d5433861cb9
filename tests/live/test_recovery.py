"""
Sockets that the system, or another process, takes away from a running service.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support import rules
from tests.support.live import Server, ours, ownProtocol, waitUntil
from tests.support.peers import LOCAL, needed
from tests.support.streams import connected

pytestmark = [
    pytest.mark.oneWay,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]

#: Options of ip(7) and ipv6(7), and of ``asm-generic/socket.h``.
_IP_RECVERR, _SO_BINDTOIFINDEX, _SO_TIMESTAMPING = 11, 62, 37

#: Of ``linux/net_tstamp.h``: when a datagram was sent, by the clock of the kernel.
_TX_SOFTWARE = 1 << 1 | 1 << 4

#: Of ``asm-generic/unistd.h``: pidfd_getfd(2).
_PIDFD_GETFD = 438

#: Reactors, each with what does the work on it.
WAYS = [
    ("lean", []),
    ("epoll", ["--portable"]),
    ("poll", []),
    ("select", ["--portable"]),
    ("asyncio", []),
]


@pytest.fixture(params=WAYS, ids=[reactor for reactor, _ in WAYS])
def chosen(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """
    Each reactor in turn, and options.
    """
    found: tuple[str, list[str]] = request.param
    return found


def destroy(port: int, kind: str) -> None:
    """
    Have the kernel take away sockets of a port, ss(8): one at the least.

    :param kind: ``t`` or ``u``, as an option of ``ss``.
    """
    command = [needed("ss"), "-K", f"-an{kind}", f"sport = :{port}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


@pytest.fixture
def canDestroy() -> None:
    """
    Skip where the kernel does not do that, or not for us.
    """
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind((LOCAL, 0))
        destroy(probe.getsockname()[1], "u")
        if probe.getsockname()[1]:
            pytest.skip("ss -K does nothing here")


@contextmanager
def socketsOf(process: psutil.Process, kind: int) -> Iterator[list[socket.socket]]:
    """
    Share the sockets of a process that listen, or are bound, as a supervisor that
    passed them would.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as stack:
        pidfd = os.pidfd_open(process.pid)
        stack.callback(os.close, pidfd)
        found = []
        for name in Path(f"/proc/{process.pid}/fd").iterdir():
            if not os.readlink(name).startswith("socket:"):
                continue
            fd = libc.syscall(_PIDFD_GETFD, pidfd, int(name.name), 0)
            if fd < 0:
                pytest.skip(f"cannot share: {os.strerror(ctypes.get_errno())}")
            one = stack.enter_context(socket.socket(fileno=fd))
            listens = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if one.type == kind and (listens or (kind == socket.SOCK_DGRAM and one.getsockname())):
                found.append(one)
        yield found


def rests(server: Server) -> None:
    """
    A service without clients uses no processor time.
    """

    def spent() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in server.processes)

    def isIdle() -> bool:
        before = spent()
        time.sleep(0.3)
        return spent() == before

    waitUntil(isIdle, "it rests")


@contextmanager
def comingBack(server: Server) -> Iterator[None]:
    """
    Wait until what is taken away is back.
    """
    said = server.log.count("is back")
    yield
    waitUntil(lambda: server.log.count("is back") > said, "it is back")


def destroyedAndBack(server: Server) -> None:
    """
    Take its sockets away, of UDP and of TCP, and wait until they are back.
    """
    for kind in ("u", "t"):
        with comingBack(server):
            destroy(server.port, kind)


@pytest.mark.usefixtures("canDestroy")
def test_destroyed(tmp_path: Path, chosen: tuple[str, list[str]]) -> None:
    """
    After ``ss -K`` the service goes on, over UDP and TCP, bound to the same network
    interface as before, at the number that the kernel had chosen.
    """
    reactor, options = chosen
    with ours(tmp_path, "-ilo", *options, reactor=reactor) as server:
        for _ in range(3):
            destroyedAndBack(server)
            rules.answers(server.port)
            rules.askedAddress(server.port, "127.0.0.2")
        rests(server)
        server.waitFor(r"UDP receive failed: Software caused connection abort \(errno 103\)")
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socketsOf(server.process, kind) as [listener]:
                index = listener.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX)
                assert index == socket.if_nametoindex("lo")


@pytest.mark.usefixtures("canDestroy")
def test_destroyedWorkers(tmp_path: Path) -> None:
    """
    The same holds with several workers, and none is started again.
    """
    with ours(tmp_path, "--workers=2") as server:
        workers = server.workers
        for _ in range(4):
            destroyedAndBack(server)
            for _ in range(8):
                rules.answers(server.port)
                rules.askedAddress(server.port, "127.0.0.2")
        rests(server)
        assert server.workers == workers


def test_shutWorkers(tmp_path: Path) -> None:
    """
    Nor can it where several workers share the socket, whichever is the first to notice.
    """
    waysIn = ["--listen=tcp:0:interface=127.0.0.1"]
    with ours(tmp_path, "--workers=2", waysIn=waysIn) as server:
        workers = server.workers
        with socketsOf(server.process, socket.SOCK_STREAM) as [listener]:
            for _ in range(8):
                with comingBack(server):
                    listener.shutdown(socket.SHUT_RD)
                waitUntil(lambda: answers(server), "it answers")
        rests(server)
        assert server.workers == workers


def answers(server: Server) -> bool:
    """
    Tell whether a stream is echoed; waiting connections are reset when the socket is
    renewed.
    """
    try:
        rules.halfClose(server.port, 1000, times=1)
    except OSError:
        return False
    return True


def test_shut(tmp_path: Path, chosen: tuple[str, list[str]]) -> None:
    """
    Another process that has the socket too cannot end it with shutdown(2).
    """
    reactor, options = chosen
    with ours(tmp_path, "--no-udp", *options, reactor=reactor) as server:
        with socketsOf(server.process, socket.SOCK_STREAM) as [listener]:
            for how in (socket.SHUT_RD, socket.SHUT_RDWR, socket.SHUT_RD):
                with comingBack(server):
                    listener.shutdown(how)
                rules.halfClose(server.port, 1000, times=3)
        rests(server)


#: Options of a listener at a path, the kind of its socket, and how it is shut down.
FINAL = {
    "UNIX": ("--listen=unix:{}", socket.SOCK_STREAM, socket.SHUT_RD),
    "UNIX datagram": ("--unix-datagram={}", socket.SOCK_DGRAM, socket.SHUT_RD),
    "UDP": ("--no-tcp", socket.SOCK_DGRAM, socket.SHUT_RDWR),
}


@pytest.mark.parametrize("chosen", [WAYS[0], WAYS[3]], ids=["lean", "select"])
@pytest.mark.parametrize("transport", FINAL)
def test_shutForGood(tmp_path: Path, chosen: tuple[str, list[str]], transport: str) -> None:
    """
    A socket that cannot be what it was ends the program: with one line, and a
    status that has a supervisor start it again.
    """
    reactor, options = chosen
    option, kind, how = FINAL[transport]
    waysIn = [option.format(tmp_path / "s"), *(["--port=0"] if transport == "UDP" else [])]
    with ours(tmp_path, *options, reactor=reactor, waysIn=waysIn) as server:
        with socketsOf(server.process, kind) as [listener]:
            listener.shutdown(how) if transport != "UDP" else shutUDP(listener, how)
        assert server.wait() == 1
        assert server.log.count("was taken away") == 1, server.log
        server.waitFor(rf"{transport} \S+ was taken away: Cannot send after transport endpoint")


def shutUDP(listener: socket.socket, how: int) -> None:
    """
    Shut a datagram socket down, which the kernel does although it says that it
    could not.
    """
    with suppress(OSError):
        listener.shutdown(how)


def test_errorQueue(tmp_path: Path, chosen: tuple[str, list[str]]) -> None:
    """
    Errors that peers report (``IP_RECVERR``) are counted, and do not keep others from
    being served.
    """
    reactor, options = chosen
    with ours(tmp_path, "-i127.0.0.1", *options, reactor=reactor) as server:
        with socketsOf(server.process, socket.SOCK_DGRAM) as [listener]:
            listener.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)

            def isRead() -> bool:
                for _ in range(20):
                    with rules.asking(server.port) as client:
                        client.send(b"x")  # and is gone
                return listener.getsockopt(socket.IPPROTO_IP, _IP_RECVERR) == 0

            waitUntil(isRead, "it has read what was reported")
        rests(server)
        server.waitFor("UDP .* failed: Connection refused")
        rules.askedAddress(server.port, "127.0.0.1")
        rules.answers(server.port)


@pytest.mark.parametrize("chosen", [WAYS[0], WAYS[4]], ids=["lean", "asyncio"])
def test_timestamps(tmp_path: Path, chosen: tuple[str, list[str]]) -> None:
    """
    So it is with what the kernel itself reports of each reply.
    """
    reactor, options = chosen
    with ours(tmp_path, "-i127.0.0.1", *options, reactor=reactor) as server:
        with socketsOf(server.process, socket.SOCK_DGRAM) as [listener]:
            listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _TX_SOFTWARE)
        for _ in range(10):
            rules.askedAddress(server.port, "127.0.0.1")
        rests(server)
        rules.answers(server.port)


def test_neverAccepts(tmp_path: Path) -> None:
    """
    If the system refuses to accept for ever, the program ends in the same way.
    """
    with ours(tmp_path, "--no-udp", "-i127.0.0.1") as server:
        with (
            rules.tracing(server, "inject=accept4:error=EINVAL", os.devnull),
            connected(server.port),
        ):
            assert server.wait() == 1
        server.waitFor(r"TCP \S+ was taken away: Invalid argument")


def test_rawDestroyed(tmp_path: Path) -> None:
    """
    If the kernel takes away a raw socket, the program ends in the same way.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, for raw sockets")
    number = ownProtocol()
    with ours(tmp_path, waysIn=[f"--raw={number}", "-i127.0.0.1"]) as server:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_RAW, number) as client,
            rules.tracing(server, "inject=recvmsg:error=ECONNABORTED:when=1", os.devnull),
        ):
            client.sendto(b"x", (LOCAL, 0))
            assert server.wait() == 1
        server.waitFor(f"raw {number} {LOCAL} was taken away: Software caused connection abort")
