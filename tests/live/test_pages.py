"""
What strangers can do to the metrics port, and that the echo does not suffer.
"""

from __future__ import annotations

import random
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support.kinds import keyAndCertificate
from tests.support.live import PATIENCE, REACTORS, Server, freePort, ours, waitUntil
from tests.support.metrics import Watched
from tests.support.rules import MIB, asking, readAll
from tests.support.streams import connected, isServed, serve

GET = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"


def status(reply: bytes) -> int:
    """
    Return the status of a reply that is whole: one, with all of its body.
    """
    head, _, body = reply.partition(b"\r\n\r\n")
    first, *fields = head.decode("ascii").split("\r\n")
    version, number, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    assert "Connection: close" in fields
    assert f"Content-Length: {len(body)}" in fields or not body
    return int(number)


def accepted(server: Server) -> int:
    """
    Count the TCP connections that a service has.
    """
    return sum(bool(one.raddr) for one in server.process.net_connections("tcp"))


def ask(port: int, request: bytes) -> bytes:
    """
    Send a request, and read until the end.
    """
    with connected(port) as stream:
        stream.sendall(request)
        return readAll(stream)


@pytest.mark.parametrize(("files", "options"), [(96, []), (128, []), (96, ["--workers=2"])])
def test_manyIdle(tmp_path: Path, files: int, options: list[str]) -> None:
    """
    200 idle connections to the metrics port take nothing from the echo, and the next
    request is answered.
    """
    watched = Watched(tmp_path, *options, start=partial(ours, limit=f"ulimit -n {files}"))
    with watched.server as server, ExitStack() as stack:
        for _ in range(200):
            with suppress(ConnectionError):
                stack.enter_context(connected(watched.port))
        assert len(serve(server, stack, 40)) == 40
        with asking(server.port) as client:
            client.send(b"hello")
            assert client.recv(10) == b"hello"
        for _ in range(10):
            assert watched.page("/healthz") == (200, "healthy\n")
        assert server.process.num_fds() < files
        assert "failed" not in server.log


@pytest.mark.parametrize(("files", "options"), [(64, []), (128, ["--max-connections=1000"])])
def test_manyEchoes(tmp_path: Path, files: int, options: list[str]) -> None:
    """
    An echo at its limit of connections leaves room for the metrics, whatever
    ``--max-connections`` says.
    """
    watched = Watched(tmp_path, *options, start=partial(ours, limit=f"ulimit -n {files}"))
    with watched.server as server, ExitStack() as stack:
        served = serve(server, stack, 200)
        assert len(served) >= files // 3
        for _ in range(files // 8 - 1):
            stack.enter_context(connected(watched.port))
        assert watched.samples()["echotwist_active_connections", "tcp"] == len(served)
        assert all(map(isServed, served))
        assert "errno" not in server.log


@pytest.mark.oneWay
def test_endlessBody(tmp_path: Path) -> None:
    """
    A body is refused before it has come, and is stored neither in memory nor on disk.
    """
    watched = Watched(tmp_path)
    with watched.server as server:
        assert watched.page("/metrics")[0] == 200
        before = server.process.memory_info().rss
        written = server.process.io_counters().write_chars
        for method, field in [
            ("POST", "Content-Length: 1000000000000"),
            ("PUT", "Transfer-Encoding: chunked"),
            ("GET", "Content-Length: 1000000000000"),
            ("GET", "Content-Length: " + "9" * 5000),
        ]:
            with connected(watched.port) as stream:
                stream.sendall(f"{method} /metrics HTTP/1.1\r\n{field}\r\n\r\n".encode())
                assert status(stream.recv(1000)) in (405, 413)
                taken = 0
                with suppress(ConnectionError):
                    while taken < 64 * MIB:
                        taken += stream.send(b"fffff\r\n" + bytes(MIB - 1) + b"\r\n")
                assert taken < 16 * MIB  # in the kernel's buffers
        assert server.process.memory_info().rss - before < 4 * MIB
        assert server.process.io_counters().write_chars - written < MIB
        assert watched.page("/healthz")[0] == 200


#: Requests, and how they are answered.
ODD: list[tuple[bytes, int | None]] = [
    (GET, 200),
    (b"HEAD /metrics HTTP/1.1\r\n\r\n", 200),
    (b"GET /metrics?name[]=x HTTP/1.0\r\n\r\n", 200),
    (b"GET http://there/metrics HTTP/1.1\r\nHost: here\r\n\r\n", 200),
    (b"GET /metrics HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", 200),
    (b"\r\nGET /metrics HTTP/1.1\n\n", 200),
    (3 * GET, 200),
    (b"HEAD /nope HTTP/1.1\r\n\r\n", 404),
    (b"GET / HTTP/1.1\r\n\r\n", 404),
    (b"GET /%ff HTTP/1.1\r\n\r\n", 404),
    (b"GET /../metrics HTTP/1.1\r\n\r\n", 404),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", 405),
    (b"TRACE /metrics HTTP/1.1\r\n\r\n", 405),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405),
    (b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
    (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413),
    (b"HEAD /m\x85 HTTP/1.1\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
    (b"GET /\0 HTTP/1.1\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nX: \0\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nnothing\r\n\r\n", 400),
    (b"GET /metrics\r\n", 400),
    (b"GET\r\n", 400),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), 400),
    (b"SSH-2.0-OpenSSH_9.9\r\n", 400),
    (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", 431),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 505),
]


@pytest.mark.oneWay
def test_odd(tmp_path: Path) -> None:
    """
    Each request has a status, and none has a line in the log.
    """
    watched = Watched(tmp_path)
    with watched.server as server:
        said = server.log
        for request, expected in ODD:
            assert status(ask(watched.port, request)) == expected, request[:100]
        noise = random.Random(9)
        with ExitStack() as stack:
            for _ in range(200):
                stream = stack.enter_context(connected(watched.port))
                with suppress(ConnectionError):
                    stream.sendall(noise.randbytes(noise.randrange(1, 500)))
        with connected(watched.port) as stream:  # a reset in the midst
            stream.sendall(GET[:10])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert watched.page("/healthz") == (200, "healthy\n")
        assert server.log == said


@pytest.mark.oneWay
def test_slow(tmp_path: Path) -> None:
    """
    On each reactor the service ends a connection that sends its request too slowly, and
    one that does not read its reply.
    """
    with ExitStack() as stack:
        pages = [Watched(tmp_path, start=partial(ours, reactor=name)) for name in REACTORS]
        for watched in pages:
            stack.enter_context(watched.server)
            assert watched.page("/metrics")[0] == 200
        said = [watched.server.log for watched in pages]
        idle, trickling = [], []
        for watched in pages:
            idle.append(stack.enter_context(connected(watched.port)))
            trickling.append(stack.enter_context(connected(watched.port)))
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            deaf.connect(("127.0.0.1", watched.port))
            deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")

        def areEnded() -> bool:
            for stream in trickling:
                with suppress(ConnectionError):
                    stream.send(b"G")
            return not any(map(accepted, [watched.server for watched in pages]))

        for stream in idle:
            with suppress(ConnectionError):
                assert stream.recv(1) == b""
        waitUntil(areEnded, "they are ended")
        assert [watched.server.log for watched in pages] == said


def overTLS(stream: socket.socket) -> socket.socket:
    """
    Speak TLS with any server.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(stream)


def afterHeader(stream: socket.socket) -> socket.socket:
    """
    Be a proxy.
    """
    stream.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 7 7\r\n")
    return stream


def itself(stream: socket.socket) -> socket.socket:
    """
    Add nothing.
    """
    return stream


@pytest.mark.oneWay
@pytest.mark.parametrize(
    ("endpoint", "family", "name", "over"),
    [
        ("tcp6:{port}", socket.AF_INET6, "::1", itself),
        ("unix:numbers", socket.AF_UNIX, "", itself),
        ("ssl:{port}:privateKey=key.pem", socket.AF_INET, "127.0.0.1", overTLS),
        ("haproxy:tcp:{port}", socket.AF_INET, "127.0.0.1", afterHeader),
    ],
)
def test_endpoints(
    tmp_path: Path,
    endpoint: str,
    family: int,
    name: str,
    over: Callable[[socket.socket], socket.socket],
) -> None:
    """
    The numbers are on any endpoint, which has as many connections at most; a
    UNIX socket is for owner and group; and a page comes whole whatever --linger says.
    """
    (tmp_path / "key.pem").write_bytes(b"".join(keyAndCertificate()))
    port = freePort()
    place = (name, port) if name else str(tmp_path / "numbers")
    words = [f"--metrics={endpoint.format(port=port)}", "--linger=0"]
    with ours(tmp_path, *words, limit="umask 0; ulimit -n 96") as server, ExitStack() as stack:
        for _ in range(60):
            idle = stack.enter_context(socket.socket(family))
            with suppress(ConnectionError):
                idle.connect(place)
        for request, expected in [(GET, 200), (b"\xff\r\n", 400)]:
            with socket.socket(family) as plain:
                plain.settimeout(PATIENCE)
                plain.connect(place)
                with over(plain) as stream:
                    stream.sendall(request)
                    assert status(readAll(stream)) == expected
        assert server.process.num_fds() < 40  # 12 of them
        if not name:
            assert (tmp_path / "numbers").stat().st_mode & 0o777 == 0o660
        said = server.lines
    assert not (tmp_path / "numbers").exists()
    assert "refused" not in "".join(said)


@pytest.mark.oneWay
def test_halfClose(tmp_path: Path) -> None:
    """
    A client that asks and half-closes is answered, also when workers must be asked
    first.
    """
    watched = Watched(tmp_path, "--workers=2", "--reuse")
    with watched.server:
        with connected(watched.port) as stream:
            stream.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            stream.endSending()
            reply = readAll(stream)
        assert status(reply) == 200
        assert reply.endswith(b"\n")
        for request, expected in [(b"", b""), (b"GET /metr", b"HTTP/1.1 400 ")]:
            with connected(watched.port) as stream:
                stream.sendall(request)
                stream.endSending()
                assert readAll(stream)[:13] == expected
