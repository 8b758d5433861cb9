"""
The service, and the programs that people put before it or ask it with: TLS
clients, HAProxy, Prometheus' blackbox exporter.
"""

from __future__ import annotations

import random
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest

from tests.support import peers, rules
from tests.support.live import PATIENCE, Server, figures, ours, waitUntil
from tests.support.peers import LOCAL, Identity, haproxy, talking
from tests.support.rules import MIB, readAll
from tests.support.streams import connected

NOISE = random.Random(8446).randbytes(MIB)

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """
    What the services with TLS show.
    """
    return peers.identity(tmp_path_factory.mktemp("identity"))


def overTLS(cwd: Path, identity: Identity, *options: str) -> tuple[Server, int]:
    """
    Start the service, with TLS as well.

    :return: it, and the port of TLS.
    """
    key, certificate = identity
    endpoint = f"ssl:0:privateKey={key}:certKey={certificate}:interface={LOCAL}"
    server = ours(cwd, f"-i{LOCAL}", f"--listen={endpoint}", *options)
    return server, int(server.waitFor(r", TLS \S+:(\d+)")[1])


def contextFor(identity: Identity, version: str = "1.3") -> ssl.SSLContext:
    """
    Make what a client believes.
    """
    context = ssl.create_default_context(cafile=str(identity.certificate))
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


# TLS.


@pytest.mark.parametrize("payload", [b"hello\n", NOISE], ids=["hello", "1 MiB"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sClient(tmp_path: Path, identity: Identity, version: str, payload: bytes) -> None:
    """
    ``openssl s_client`` accepts the certificate, and prints what was typed.
    """
    server, port = overTLS(tmp_path, identity)
    trust = ["-CAfile", str(identity.certificate), "-verify_return_error", "-verify_ip", LOCAL]
    words = ["openssl", "s_client", "-quiet", version, *trust, "-connect", f"{LOCAL}:{port}"]
    with server, talking(*words) as (stdin, stdout):
        typing = Thread(target=lambda: (stdin.write(payload), stdin.flush()))
        typing.start()
        assert stdout.read(len(payload)) == payload
        typing.join(PATIENCE)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_alpn(tmp_path: Path, identity: Identity, version: str) -> None:
    """
    A client that offers ALPN is served like one that does not.
    """
    server, port = overTLS(tmp_path, identity)
    words = ["openssl", "s_client", version, "-alpn", "h2,http/1.1", "-no_ign_eof"]
    with server, talking(*words, "-connect", f"{LOCAL}:{port}") as (stdin, stdout):
        stdin.write(b"hello\n")
        stdin.flush()
        said = b""
        while not said.endswith(b"\nhello\n"):
            more = stdout.readline()
            assert more, said
            said += more
        assert b"No ALPN negotiated" in said


@pytest.mark.parametrize("version", VERSIONS)
def test_ssl(tmp_path: Path, identity: Identity, version: str) -> None:
    """
    Python's ``ssl`` gets its bytes back.
    """
    server, port = overTLS(tmp_path, identity)
    with server, connected(port) as plain:
        with contextFor(identity, version).wrap_socket(plain, server_hostname=LOCAL) as stream:
            sender = Thread(target=stream.sendall, args=(NOISE,))
            sender.start()
            got = b""
            while len(got) < MIB:
                got += stream.recv(MIB)
            sender.join(PATIENCE)
        assert got == NOISE


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 100_000, 8 * MIB])
def test_closeNotify(tmp_path: Path, identity: Identity, version: str, size: int) -> None:
    """
    A client of Python's ``ssl`` that half-closes with ``close_notify`` still gets all
    its bytes back, and then a ``close_notify``.
    """
    server, port = overTLS(tmp_path, identity)
    theirs, mine = ssl.MemoryBIO(), ssl.MemoryBIO()
    inside = contextFor(identity, version).wrap_bio(theirs, mine, server_hostname=LOCAL)
    with server, connected(port) as plain:
        while True:
            try:
                inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(mine.read())
                theirs.write(plain.recv(2**16))
        payload = (NOISE * 8)[:size]
        inside.write(payload)
        with pytest.raises(ssl.SSLWantReadError):
            inside.unwrap()  # which has said it by now
        sender = Thread(target=plain.sendall, args=(mine.read(),))
        sender.start()
        theirs.write(readAll(plain))
        sender.join(PATIENCE)
        got = bytearray()
        while len(got) < size:
            got += inside.read(MIB)
        assert got == payload
        with pytest.raises(ssl.SSLZeroReturnError):
            inside.read(1)


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a part"])
def test_unfinishedHandshake(tmp_path: Path, identity: Identity, start: bytes) -> None:
    """
    A client that never finishes the handshake is reset, and counted.
    """
    server, port = overTLS(tmp_path, identity, "--stall-timeout=1")
    with server, connected(port) as plain:
        plain.sendall(start)
        with pytest.raises(ConnectionResetError):
            plain.recv(100)
        server.waitFor("TLS refused: unfinished TLS handshake")
        rules.answers(server.port)


def test_noHandshake(tmp_path: Path, identity: Identity) -> None:
    """
    Clients that send something else than a handshake are refused, and all of them
    together cause one log line.
    """
    server, port = overTLS(tmp_path, identity, "--verbose")
    with server:
        for _ in range(20):
            with connected(port) as plain:
                plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert b"HTTP" not in readAll(plain)
        server.waitFor("TLS refused: failed TLS handshake")
        server.waitFor(rf"TLS {LOCAL}:\d+ TLS error: http request: 0 bytes")
        with contextFor(identity).wrap_socket(connected(port), server_hostname=LOCAL) as stream:
            stream.sendall(b"hello")
            assert stream.recv(100) == b"hello"
    assert server.log.count("refused") == 1, server.log


def test_nonReadingTLS(tmp_path: Path, identity: Identity) -> None:
    """
    From a client that offers 256 MiB over TLS and reads nothing, at most 16 MiB are
    taken, and the process does not grow by more than 2 MiB.
    """
    server, port = overTLS(tmp_path, identity)
    context = contextFor(identity)

    def client() -> ssl.SSLSocket:
        return context.wrap_socket(connected(port), server_hostname=LOCAL)

    with server, client() as warm, client() as stream:
        for size in (10, 100_000):  # so that all code is loaded, and the heap has its form
            warm.sendall(NOISE[:size])
            got = 0
            while got < size:
                got += len(warm.recv(MIB))
        before = server.process.memory_info().rss
        taken = rules.offer(stream, 256 * MIB)
        grown = server.process.memory_info().rss - before
        figures.append(f"TLS, never reads: {taken / MIB:.1f} MiB taken, {grown / MIB:.2f} grown")
        assert 0 < taken <= 16 * MIB
        assert grown < 2 * MIB
        warm.sendall(b"still there?")
        assert warm.recv(100) == b"still there?"


# HAProxy.


def behindProxy(cwd: Path, *options: str) -> tuple[Server, int]:
    """
    Start the service, with a listener for proxies as well.

    :return: it, and the port of that.
    """
    server = ours(cwd, f"-i{LOCAL}", f"--listen=haproxy:tcp:0:interface={LOCAL}", *options)
    return server, int(server.waitFor(r"UDP \S+, TCP \S+:(\d+)")[1])


def asks(stream: socket.socket) -> bool:
    """
    Tell whether a client is answered, or else sent away.
    """
    try:
        stream.sendall(b"hello")
        return stream.recv(100) == b"hello"
    except ConnectionError:
        return False


VERSIONS_OF_HEADER = ["send-proxy", "send-proxy-v2"]


@pytest.mark.parametrize("header", VERSIONS_OF_HEADER)
def test_realClient(tmp_path: Path, header: str) -> None:
    """
    Behind HAProxy the log names the client that connected to that.
    """
    server, port = behindProxy(tmp_path, "--verbose")
    with server, haproxy(tmp_path, port, header) as proxy:
        for source in ("127.0.0.2", "::1"):
            with proxy.connected(source) as client:
                assert asks(client)
                number = client.getsockname()[1]
            place = f"[{source}]" if ":" in source else source
            server.waitFor(rf"TCP {re.escape(place)}:{number} closed: 5 bytes")


@pytest.mark.parametrize("header", VERSIONS_OF_HEADER)
def test_maxPerClient(tmp_path: Path, header: str) -> None:
    """
    Behind HAProxy it is the client that may have so many connections.
    """
    server, port = behindProxy(tmp_path, "--max-per-peer=2")
    with server, haproxy(tmp_path, port, header) as proxy, ExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.3"):
            served = [asks(stack.enter_context(proxy.connected(source))) for _ in range(3)]
            assert served == [True, True, False]
    assert server.log.count("refused: ") == 1, server.log


@pytest.mark.parametrize("header", ["", *VERSIONS_OF_HEADER])
def test_halfCloseThroughHAProxy(tmp_path: Path, header: str) -> None:
    """
    Through HAProxy too a client that half-closes gets all of its bytes.
    """
    server, port = behindProxy(tmp_path)
    with server, haproxy(tmp_path, port if header else server.port, header) as proxy:
        for size in (0, 1, MIB):
            rules.halfClose(proxy.ports[LOCAL], size, times=5)


@pytest.mark.parametrize(
    ("options", "isBehind"),
    [
        ("check", False),
        ("check send-proxy", True),
        ("check send-proxy-v2", True),
        ("check port {port}", True),
    ],
    ids=["plain", "send-proxy", "send-proxy-v2", "no header"],
)
def test_healthChecks(tmp_path: Path, options: str, isBehind: bool) -> None:
    """
    HAProxy's health checks find the service up and leave nothing in its log,
    with a header or without.
    """
    server, port = behindProxy(tmp_path)
    port = port if isBehind else server.port
    with server, socket.create_server((LOCAL, 0)) as beside:
        beside.settimeout(PATIENCE)
        place = f"{LOCAL}:{beside.getsockname()[1]}"
        other = f"server other {place} check check-send-proxy inter 20ms backup"
        checked = options.format(port=port) + " inter 20ms"
        if "port" in options:
            checked += " send-proxy"  # for clients: it leaves it out where the port is named
        with haproxy(tmp_path, port, checked, beside=other) as proxy:
            # The one beside is checked as often, and hears of it: a check without a
            # header is reset before the handshake is done, and never accepted.
            for _ in range(30):
                beside.accept()[0].close()
            found = proxy.statistics()
            with proxy.connected() as client:
                assert asks(client)
        # A star says that the next check is under way.
        outcome = found["check_status"].removeprefix("* ")
        assert (found["status"], outcome) == ("UP", "L4OK"), found
        assert (found["chkfail"], found["chkdown"]) == ("0", "0"), found
    _, _, said = server.log.partition("echo on ")
    lines = said.partition("Received SIGTERM")[0].splitlines()
    assert len(lines) <= 2 + 1, lines  # the rest of one, the start of another


def test_noHealth(tmp_path: Path) -> None:
    """
    HAProxy finds a service that has stopped down.
    """
    server, port = behindProxy(tmp_path)
    with server, haproxy(tmp_path, port, "check send-proxy inter 20ms") as proxy:
        waitUntil(lambda: proxy.statistics()["check_status"] == "L4OK", "it is checked")
        server.__exit__(None, None, None)
        waitUntil(lambda: proxy.statistics()["status"] == "DOWN", "it is found down")


# Prometheus.


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory, identity: Identity) -> Iterator[int]:
    """
    The port of a blackbox exporter.
    """
    with peers.blackbox(tmp_path_factory.mktemp("blackbox"), identity.certificate) as port:
        yield port


def probe(exporter: int, module: str, port: int) -> dict[str, str]:
    """
    Have a service probed.

    :return: the numbers that came of it.
    """
    address = f"http://{LOCAL}:{exporter}/probe?module={module}&target={LOCAL}:{port}"
    with urlopen(address, timeout=PATIENCE) as page:
        lines = page.read().decode().splitlines()
    return dict(line.split(" ", 1) for line in lines if not line.startswith("#"))


def test_blackbox(tmp_path: Path, identity: Identity, exporter: int) -> None:
    """
    A probe that sends words and expects them finds the service well, over TCP
    and TLS; one that expects other words does not.
    """
    server, port = overTLS(tmp_path, identity)
    with server:
        assert probe(exporter, "tcp", server.port)["probe_success"] == "1"
        found = probe(exporter, "tls", port)
        assert found["probe_success"] == "1"
        assert "probe_ssl_earliest_cert_expiry" in found
        assert probe(exporter, "other", server.port)["probe_success"] == "0"
