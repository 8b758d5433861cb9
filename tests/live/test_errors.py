"""
What goes wrong at the start: one line, status 1, and nothing left behind.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

import pytest

from tests.support.live import BIN, ROOT, freePort, mistake

pytestmark = pytest.mark.oneWay


def withoutPrivilege() -> None:
    """
    Give up binding to ports below 1024, as root too (capabilities(7)).
    """
    _giveUp(10)  # CAP_NET_BIND_SERVICE


def asOneUser() -> None:
    """
    Give up becoming another user, as root too.
    """
    _giveUp(6)  # CAP_SETGID
    _giveUp(7)  # CAP_SETUID


def _giveUp(capability: int) -> None:
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP


@pytest.mark.parametrize("nodaemon", [["--nodaemon"], []])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--no-udp"], "TCP 127.0.0.1:{port}: Address already in use (errno 98)"),
        (["--no-tcp"], "UDP 127.0.0.1:{port}: Address already in use (errno 98)"),
        (["-i192.0.2.1"], "TCP 192.0.2.1:{port}: Cannot assign requested address (errno 99)"),
        (["-inosuch"], "TCP and UDP nosuch:{port}: "),
        (["--backlog=0"], "--backlog 0: not a whole number from 1 to 65535"),
        (["--nonsense"], "option --nonsense not recognized"),
    ],
)
def test_mistakes(
    tmp_path: Path, taken: int, nodaemon: list[str], options: list[str], said: str
) -> None:
    """
    In the foreground and in the background, the shell sees line and status.
    """
    command: list[str | Path] = [BIN / "twistd", *nodaemon, "echo", f"-p{taken}"]
    where = [] if any(word.startswith("-i") for word in options) else ["-i127.0.0.1"]
    assert said.format(port=taken) in mistake(tmp_path, *command, *where, *options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "port=0"], "endpoint port=0: it begins with no kind"),
        (["--listen", "tcp:65536"], "endpoint tcp:65536: port 65536: not a whole number"),
        (["--metrics", "tcp:0:é=1"], "metrics tcp:0:é=1: tcp has no parameter é"),
        (["-p{port}", "--listen", "tcp6:{port}"], "TCP [::]:{port}: Address already in use"),
        (
            ["--no-tcp", "--listen", "tcp:0"],
            "--no-tcp leaves TCP out of --port, which is not given",
        ),
        (["-i127.0.0.1", "--listen", "unix:x"], "interface 127.0.0.1: no listener uses it"),
    ],
)
def test_endpoints(tmp_path: Path, options: list[str], said: str) -> None:
    """
    An endpoint that makes no sense gives an error in plain words.
    """
    port = freePort()
    words = [word.format(port=port) for word in options]
    line = mistake(tmp_path, BIN / "twistd", "echo", *words)
    assert line.startswith("echo: ")
    assert said.format(port=port) in line
    assert "another program" not in line


_NO_OPENSSL = 'raise ImportError("no OpenSSL", name="OpenSSL")'


@pytest.mark.parametrize("endpoint", ["tls:.:0", "ssl:0"])
def test_withoutExtra(tmp_path: Path, endpoint: str) -> None:
    """
    TLS without what it needs names the extra.
    """
    (tmp_path / "OpenSSL.py").write_text(_NO_OPENSSL)
    path = f"PYTHONPATH={tmp_path}"
    line = mistake(tmp_path, "env", path, BIN / "twistd", "echo", "--listen", endpoint)
    assert "pip install 'echotwist[tls]'" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--logfile", "/nonexist/x", "echo"], "--logfile /nonexist/x: No such file or directory"),
        (["--rundir", "/nonexist", "echo"], "--rundir /nonexist: No such file or directory"),
        (["--uid", "daemon", "echo"], "--uid 1: only root may change that"),
        (["echo", "-n"], "-n is an option of twistd: it goes before echo"),
    ],
)
def test_twistd(tmp_path: Path, options: list[str], said: str) -> None:
    """
    Mistakes in twistd's own options are reported as well, and never block.
    """
    line = mistake(tmp_path, BIN / "twistd", *options, "-p0", prepare=asOneUser)
    assert line.startswith(f"echo: {said}")
    assert not list(tmp_path.iterdir())


def test_twist(tmp_path: Path, taken: int) -> None:
    """
    The same holds under ``twist``.
    """
    said = mistake(tmp_path, BIN / "twist", "echo", f"-p{taken}", "-i127.0.0.1")
    assert f"TCP 127.0.0.1:{taken}: Address already in use (errno 98)" in said


@pytest.mark.parametrize("flags", ["-ny", "-y"])
def test_tac(tmp_path: Path, taken: int, flags: str) -> None:
    """
    The same holds with a tac file.
    """
    text = (ROOT / "deploy" / "echo.tac").read_text()
    (tmp_path / "echo.tac").write_text(text.replace("port=1234", f"port={taken}"))
    said = mistake(tmp_path, BIN / "twistd", flags, "echo.tac")
    assert f"]:{taken}: Address already in use (errno 98)" in said


@pytest.mark.parametrize("option", ["--no-udp", "--no-tcp"])
def test_notPermitted(tmp_path: Path, option: str) -> None:
    """
    Ordinary users may not bind port 7: that is one line.
    """
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 7:
        pytest.skip("here it is")
    line = mistake(tmp_path, BIN / "twistd", "echo", "-p7", option, prepare=withoutPrivilege)
    assert ":7: Permission denied (errno 13); ports below 1024 need root" in line


def test_secondListenerFails(tmp_path: Path, taken: int) -> None:
    """
    Nothing stays bound when the second of several listeners fails.
    """
    mistake(tmp_path, BIN / "twistd", "echo", f"-p{taken}", "-i127.0.0.2", "-i127.0.0.1")
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.2", taken))
        tcp.listen()
        udp.bind(("127.0.0.2", taken))
