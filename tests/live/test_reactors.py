"""
Which reactor runs the service, and in which way it does its work.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import live, rules
from tests.support.live import BIN, ROOT, Server, ours


@pytest.mark.parametrize(
    ("reactor", "name"), [("", "LeanReactor"), ("poll", "PollReactor"), ("lean", "LeanReactor")]
)
def test_choice(tmp_path: Path, way: str, reactor: str, name: str) -> None:
    """
    The service runs on the lean reactor, except with ``--portable``; what ``--reactor``
    says wins.
    """
    if way == "portable" and not reactor:
        name = "EPollReactor"
    with ours(tmp_path, reactor=reactor) as server:
        assert f".{name}." in server.waitFor("reactor class: (.*)")[0]


#: Runs a script, and in the end tells its reactor; ``twist`` itself does not.
TELLING = """
import atexit, runpy, sys
atexit.register(lambda: print("reactor:", type(sys.modules["twisted.internet.reactor"]).__name__))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.oneWay
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["twist", "--log-format=text", "echo", "--port=0"], "LeanReactor"),
        (["twist", "--log-format=text", "--reactor=poll", "echo", "--port=0"], "PollReactor"),
        (["twistd", "--pidfile=", "-ny", "echo.tac"], "EPollReactor"),
        (["twistd", "--pidfile=", "--reactor=lean", "-ny", "echo.tac"], "LeanReactor"),
    ],
)
def test_otherWays(tmp_path: Path, command: list[str], name: str) -> None:
    """
    ``twist`` gets it as well; a tac file runs on what its caller chose.
    """
    text = (ROOT / "deploy" / "echo.tac").read_text()
    (tmp_path / "echo.tac").write_text(text.replace("port=1234", "port=0"))
    script = BIN / command[0]
    with Server([sys.executable, "-c", TELLING, script, *command[1:]], tmp_path) as server:
        rules.halfClose(server.port, 1000, times=1)
    assert f"reactor: {name}" in server.log or f".{name}." in server.log


@pytest.mark.oneWay
def test_anyProgram(tmp_path: Path) -> None:
    """
    Any Twisted program can use the lean reactor.
    """
    command: list[str | Path] = [BIN / "twistd", "-n", "--pidfile=", "--reactor=lean"]
    process = subprocess.Popen(
        [*command, "web", "--listen=tcp:0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        said = ""
        for line in process.stdout:
            said += line
            if "starting on" in line:
                process.terminate()
        assert "LeanReactor" in said
        assert "Traceback" not in said


@pytest.mark.oneWay
def test_portableAlone() -> None:
    """
    Only the module that chooses the way imports what only Linux has, and only where it
    is used.
    """
    for file in (ROOT / "echotwist").rglob("*.py"):
        if file.name != "ways.py" and file.parent.name != "fast":
            assert "echotwist.fast" not in file.read_text(), file.name
    code = """
import sys
from echotwist import EchoService, Settings
EchoService(Settings(port=0, interfaces="127.0.0.1", portable=True)).open()
sys.exit("echotwist.fast" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert live.WAYS["portable"] == ["--portable"]
