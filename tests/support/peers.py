"""
The programs that stand before an echo service, or ask it, or start it.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import IO, NamedTuple

import pytest

from tests.support.live import BIN, PATIENCE, Server, waitUntil, way

LOCAL = "127.0.0.1"

#: What ``systemd-socket-activate`` says itself.
_ACTIVATION = ("Listening on ", "Communication attempt on ", "Execing ")


def needed(command: str) -> str:
    """
    Find a program, or skip where it is missing.
    """
    # Users other than root have no sbin, where Debian puts HAProxy.
    found = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{command} is not installed")
    return found


def run(*command: str, say: bytes = b"") -> bytes:
    """
    Run a client, and give what it prints.
    """
    words = [needed(command[0]), *command[1:]]
    done = subprocess.run(words, input=say, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    return done.stdout


@contextmanager
def talking(*command: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """
    Run a client for as long as somebody types and reads.
    """
    words = [needed(command[0]), *command[1:]]
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin and client.stdout
    with client.stdin, client.stdout:
        yield client.stdin, client.stdout
        client.kill()
    client.wait()


@contextmanager
def _running(*words: str | Path, log: Path, keep: Sequence[int] = ()) -> Iterator[None]:
    """
    Run a program, whose words go to a file.

    :param keep: descriptors that it inherits.
    """
    with log.open("w") as said:
        program = subprocess.Popen(words, stdout=said, stderr=said, pass_fds=keep)
    try:
        yield
    finally:
        program.terminate()
        program.wait(PATIENCE)


def failing(cwd: Path, *options: str, before: Sequence[str] = ()) -> str:
    """
    Start the service where it cannot run.

    :param before: a command that runs it.
    :return: the line that it says.
    """
    words = [*before, str(BIN / "twistd"), "-n", "--pidfile=", "echo", *way, *options]
    ended = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 1, ended
    said = (ended.stdout + ended.stderr).splitlines()
    [line] = [line for line in said if not line.startswith(_ACTIVATION)]
    assert line.startswith("echo: ")
    return line


# TLS.


class Identity(NamedTuple):
    """
    What a server shows of itself.
    """

    key: Path
    certificate: Path


def identity(folder: Path) -> Identity:
    """
    Make a key, and a certificate for 127.0.0.1.
    """
    made = Identity(folder / "key.pem", folder / "cert.pem")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=echo"
    names = ["-addext", f"subjectAltName=IP:{LOCAL}"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    command = [needed("openssl"), *words.split(), *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return made


# HAProxy.

_HAPROXY = """
global
    stats socket {folder}/stats
    log stdout format raw local0
    default-path config
defaults
    mode tcp
    log global
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen echo
{binds}
    {more}
    server service 127.0.0.1:{port} {options}
    {beside}
"""


class HAProxy:
    """
    HAProxy before a service.

    :param folder: for its files.
    :param ports: where it listens.
    """

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self._stats = folder / "stats"
        self.ports = ports

    def connected(self, source: str = LOCAL) -> socket.socket:
        """
        Connect to it.

        :param source: the client's address.
        """
        host = "::1" if ":" in source else LOCAL
        return socket.create_connection((host, self.ports[host]), PATIENCE, (source, 0))

    def statistics(self) -> dict[str, str]:
        """
        Tell what it knows about the service.
        """
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(PATIENCE)
            waitUntil(lambda: asked.connect_ex(str(self._stats)) == 0, "HAProxy runs")
            asked.sendall(b"show stat\n")
            said = b"".join(iter(lambda: asked.recv(2**16), b"")).decode()
        names, *rows = (line.split(",") for line in said.splitlines() if line)
        [row] = [row for row in rows if row[1] == "service"]
        return dict(zip(names, row, strict=True))


@contextmanager
def haproxy(
    folder: Path, port: int, options: str, more: str = "", beside: str = ""
) -> Iterator[HAProxy]:
    """
    Run HAProxy before a service.

    :param port: of the service.
    :param options: of the line about the server.
    :param more: other lines.
    :param beside: another server's line.
    """
    program = needed("haproxy")
    with ExitStack() as stack:
        # It inherits its sockets, so that there is no port to guess and none to wait for.
        doors = [
            stack.enter_context(socket.create_server((host, 0), family=family))
            for host, family in ((LOCAL, socket.AF_INET), ("::1", socket.AF_INET6))
        ]
        keep = [door.fileno() for door in doors]
        binds = "\n".join(f"    bind fd@{fd}" for fd in keep)
        words = {"folder": folder, "binds": binds, "port": port, "options": options}
        config = folder / "haproxy.cfg"
        config.write_text(_HAPROXY.format(**words, more=more, beside=beside))
        log = folder / "haproxy.log"
        stack.enter_context(_running(program, "-db", "-f", config, log=log, keep=keep))
        ports = {door.getsockname()[0]: door.getsockname()[1] for door in doors}
        yield HAProxy(folder, ports)


# Prometheus.

_BLACKBOX = """
modules:
  tcp:
    prober: tcp
    timeout: 30s
    tcp: &exchange
      query_response:
        - send: "are you there?"
        - expect: "^are you there[?]$"
        - send: "still?"
        - expect: "^still[?]$"
  tls:
    prober: tcp
    timeout: 30s
    tcp:
      <<: *exchange
      tls: true
      tls_config:
        ca_file: {certificate}
        server_name: 127.0.0.1
  other:
    prober: tcp
    timeout: 1s
    tcp:
      query_response:
        - send: "hello"
        - expect: "goodbye"
"""


@contextmanager
def blackbox(folder: Path, certificate: Path) -> Iterator[int]:
    """
    Run Prometheus' blackbox exporter, with modules for TCP, for
    TLS, and for something that is no echo.

    :param certificate: that it believes.
    :return: the port that it listens on.
    """
    program = needed("prometheus-blackbox-exporter")
    config, log = folder / "blackbox.yml", folder / "blackbox.log"
    config.write_text(_BLACKBOX.format(certificate=certificate))
    words = [f"--config.file={config}", f"--web.listen-address={LOCAL}:0"]

    def door() -> re.Match[str] | None:
        return re.search(r'"Listening on" address=127.0.0.1:(\d+)', log.read_text())

    with _running(program, *words, log=log):
        waitUntil(lambda: door() is not None, "the exporter listens")
        found = door()
        assert found
        yield int(found[1])


# systemd.


def activated(
    cwd: Path,
    sockets: Sequence[str],
    *options: str,
    first: socket.socket,
    place: object,
    names: Sequence[str] = (),
    wrapper: Sequence[str] = (),
) -> Server:
    """
    Have ``systemd-socket-activate`` start the service, when the first client comes.

    :param sockets: its options about them.
    :param options: of the ``echo`` command.
    :param first: connects to one of the sockets as soon as it is there, and
        sends ``first``.
    :param place: where it connects to.
    :param names: of the sockets.
    :param wrapper: a command that runs the service in its place.
    """
    command = [needed("systemd-socket-activate"), *sockets]
    if names:
        command.append("--fdname=" + ":".join(names))
    service = [str(BIN / "twistd"), "-n", "--pidfile=", "echo", *way, *options]
    with knocking(first, place):
        return Server([*command, *wrapper, *service], cwd)


@contextmanager
def knocking(first: socket.socket, place: object) -> Iterator[None]:
    """
    Have a client connect to a place, and send ``first``, as soon as it is there.
    """
    client = Thread(target=_knock, args=(first, place))
    client.start()
    try:
        yield
    finally:
        client.join(PATIENCE)


def _knock(first: socket.socket, place: object) -> None:
    def isThere() -> bool:
        error: int = first.connect_ex(place)  # type: ignore[arg-type]
        return error == 0

    first.settimeout(PATIENCE)
    waitUntil(isThere, "somebody listens")
    first.sendall(b"first")
