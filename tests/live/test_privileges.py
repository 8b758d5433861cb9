"""
What the service may do once it runs.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import rules
from tests.support.live import BIN, Server, lowPort, ours

pytestmark = [
    pytest.mark.oneWay,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give it up"
    ),
]

NOBODY = pwd.getpwnam("nobody") if hasattr(os, "geteuid") else None


def test_uid(tmp_path: Path) -> None:
    """
    A low port is bound first, and then no privilege is left.
    """
    port = lowPort()
    command: list[str | Path] = [BIN / "twistd", "-n", "--pidfile=", "--uid=nobody"]
    with Server([*command, "echo", f"-p{port}"], tmp_path) as server:
        rules.halfClose(port, 1000, times=1)
        rules.askedAddress(port, "127.0.0.2")
        assert NOBODY is not None
        assert set(server.process.uids()) == {NOBODY.pw_uid}
        assert set(server.process.gids()) == {NOBODY.pw_gid}
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        for kind in ("CapEff", "CapPrm"):
            assert f"{kind}:\t{0:016x}" in status
        assert "runs as root" not in server.log


def test_root(tmp_path: Path) -> None:
    """
    A service that goes on as root logs one warning.
    """
    with ours(tmp_path) as server:
        server.waitFor("echo on")
        assert server.log.count("runs as root") == 1


_BESIDE = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
    taker.setsockopt(socket.SOL_SOCKET, option, 1)
taker.bind((sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.parametrize("options", [[], ["--reuse"]])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_nobodyBeside(tmp_path: Path, options: list[str], host: str) -> None:
    """
    Another user cannot bind beside us and take our datagrams.
    """
    with ours(tmp_path, *options) as server:
        words = [sys.executable, "-c", _BESIDE, host, str(server.port)]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "Address already in use" in run.stderr
