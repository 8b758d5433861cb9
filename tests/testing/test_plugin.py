"""
The plugin for pytest, in runs of pytest of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import venv
from pathlib import Path
from textwrap import dedent

import pytest

from echotwist.probe.idle.settings import IdleSettings
from echotwist.settings import Settings
from echotwist.testing.fixtures import ProbeReport
from echotwist.testing.process import EchoProcess
from echotwist.testing.words import commandWords
from tests.support.live import PATIENCE, ROOT, waitUntil

#: A service of this host, on any port.
LOCAL = ["--port=0", "--interface=127.0.0.1", "--drain=0"]


def ran(folder: Path, text: str, status: int = 0) -> str:
    """
    Run some tests with no plugin but ours, in which warnings are errors.
    """
    (folder / "test_it.py").write_text(dedent(text))
    words = "-m pytest -q -W error -p no:cacheprovider -p echotwist.testing.plugin --tb=short"
    done = subprocess.run(
        [sys.executable, *words.split(), "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def test_cheap() -> None:
    """
    Where nobody uses it, it costs the import of three small modules; where somebody does,
    the reactor is left to others.
    """
    code = (
        "import sys, pytest; before = {*sys.modules}; import echotwist.testing.plugin; "
        "print(*sorted({*sys.modules} - before)); import echotwist.testing.fixtures, "
        "echotwist.probe.options, echotwist.settings; print('twisted.internet.reactor' in "
        "sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "echotwist echotwist.testing echotwist.testing.plugin",
        "False",
    ]


@pytest.mark.slow
def test_fixtures(tmp_path: Path) -> None:
    """
    A test has a service with what settings it wants, and the probe against it; connections
    that it leaves open are its own.
    """
    said = ran(
        tmp_path,
        """
        import socket, sys

        left = []


        def test_default(echo_service):
            client = socket.create_connection((echo_service.host, echo_service.port))
            client.sendall(b"hello")
            assert client.recv(9) == b"hello"
            assert echo_service.target == f"127.0.0.1:{echo_service.port}"
            left.append(client)


        def test_two(echo_service, echo_probe):
            one = echo_service(impair="loss=50%,seed=7", workers=2)
            two = echo_service(tcp=False, prefix=b"hi ")
            assert one.port != two.port
            found = echo_probe(one, count=40, rate=1000, timeout=0.5)
            assert found.of("tcp")["lost"]["count"] == 0 < found.of("udp")["lost"]["count"]
            found = echo_probe(count=1)
            assert [one["kind"] for one in found["results"]] == ["udp"]
            assert found.of("udp")["damaged"] == 1
            assert found.status in (0, 4)
            found = echo_probe(two, command="load", count=10, fail_if="damaged>9")
            assert found["schema"] == "echoprobe-load" and found.status in (1, 4)
            assert "twisted.internet.reactor" not in sys.modules


        def test_stopped(echo_service):
            service = echo_service(no_udp=True)
            assert service.target.startswith("tcp:")
            assert service.stop() == []
            assert "echo on TCP" in "".join(service.log)
            echo_service().kill()


        def test_listens(echo_service, echo_probe, tmp_path):
            service = echo_service(listen=[f"unix:{tmp_path}/echo"])
            assert (service.port, service.listeners) == (0, [f"UNIX {tmp_path}/echo"])
            assert echo_probe(count=3, rate=100).of("unix")["back"] == 3
            echo_service(unix_datagram=f"{tmp_path}/datagrams")
            assert echo_probe(count=3, rate=100).of("unix-datagram")["back"] == 3
            echo_service(interfaces=["127.0.0.1", "127.0.0.2"], udp=False)
            assert echo_probe(count=3, rate=100).of("tcp")["back"] == 3
        """,
    )
    assert "4 passed" in said


def test_mistakes(tmp_path: Path) -> None:
    """
    A mistake in a test is one line that says what it is.
    """
    said = ran(
        tmp_path,
        """
        import os, signal


        def test_setting(echo_service):
            echo_service(lingre=1)


        def test_value(echo_service):
            echo_service(idle_timeout="soon")


        def test_flag(echo_service):
            echo_service(udp="no")


        def test_option(echo_probe):
            echo_probe("udp:127.0.0.1", counts=3)


        def test_command(echo_probe):
            echo_probe(command="sing")


        def test_target(echo_probe):
            echo_probe("udp:")


        def test_crash(echo_service):
            os.kill(echo_service.process.pid, signal.SIGKILL)
            echo_service.process.wait()
        """,
        status=1,
    )
    lines = said.splitlines()
    for line in (
        "echo_service: no setting lingre; did you mean linger?",
        "echo_service: --idle-timeout soon: not a time from 0 to 2000000 seconds",
        "echo_service: udp 'no': neither True nor False",
        "echo_probe: no setting counts; did you mean count?",
        "echo_probe: udp:: no host; a target is HOST:PORT or udp:HOST:PORT",
        "echo_service: it ended with status -9",
    ):
        assert line in lines, said
    assert [line for line in lines if line.startswith("echo_probe: no command sing; there are")]
    assert "6 failed, 1 passed, 1 error" in said
    assert "Traceback" not in said and "During handling" not in said


# What a service leaves behind

#: Does something wrong in the service once a file is there.
SABOTAGE = """
import os, subprocess, sys, threading, time

def run():
    while not os.path.exists({go!r}):
        time.sleep(0.01)
    {what}
    open({done!r}, "w").close()

if "echotwist.testing" in sys.argv or "-m" in sys.argv or sys.argv == ["-m"]:
    threading.Thread(target=run, daemon=True).start()
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("run.left = os.pipe()", "it leaves descriptors open: 2 of pipe"),
        ("run.left = subprocess.Popen(['sleep', '5'])", "it leaves processes: "),
        (
            "os.write(1, b'x [a#critical] all is lost\\n')",
            "its log has: x [a#critical] all is lost",
        ),
    ],
)
def test_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str) -> None:
    """
    What a service leaves behind is told: descriptors, processes, errors in its log.
    """
    go, done = tmp_path / "go", tmp_path / "done"
    text = SABOTAGE.format(go=str(go), what=what, done=str(done))
    (tmp_path / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("echotwist.testing.process._TO_CLOSE", 0.5)
    service = EchoProcess(LOCAL)
    go.touch()
    waitUntil(done.exists, "it is done")
    [fault] = service.stop()
    assert fault.startswith(said)


def test_orphan(tmp_path: Path) -> None:
    """
    A process of tests that dies leaves no service.
    """
    code = (
        "import os, signal; from echotwist.testing.process import EchoProcess; "
        f"print(EchoProcess({LOCAL!r}).process.pid, flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    waitUntil(lambda: not Path(f"/proc/{pid}").exists() or _isZombie(pid), "it has ended")


def _isZombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_words() -> None:
    """
    Settings are said by the names of options or of fields.
    """
    assert commandWords(Settings, {"tcp": False, "no_udp": True, "udp": True, "linger": None}) == [
        "--no-tcp",
        "--no-udp",
    ]
    assert commandWords(Settings, {"idleTimeout": 0.5, "impair": ("loss=1%", "delay=1ms")}) == [
        "--idle-timeout=0.5",
        "--impair=loss=1%",
        "--impair=delay=1ms",
    ]
    assert commandWords(Settings, {"prefix": b"\xff"}) == ["--prefix=\udcff"]
    assert commandWords(IdleSettings, {"fail_if": "survived<1s", "json": True}) == [
        "--fail-if=survived<1s",
        "--json",
    ]
    with pytest.raises(ValueError, match="no setting nothing; there are allow, "):
        commandWords(Settings, {"nothing": 1})


# As its page says


def test_kind() -> None:
    """
    A report gives the result of a kind, or says which kinds there are.
    """
    report = ProbeReport(results=[{"kind": "udp", "sent": 1}, {"kind": "tcp"}], status=0)
    assert report.of("udp")["sent"] == 1
    with pytest.raises(KeyError, match="no target of kind tls; there are udp, tcp"):
        report.of("tls")


def blocks() -> list[str]:
    """
    Return the tests that the page shows.
    """
    text = (ROOT / "docs" / "howto" / "pytest.rst").read_text()
    found = re.findall(r"code-block:: python\n\n((?: {4}.*\n|\n)+)", text)
    return [dedent(block) for block in found]


@pytest.mark.slow
def test_page(tmp_path: Path) -> None:
    """
    What the page shows runs in a new environment, without pytest-twisted and pytest-asyncio
    and beside them.
    """
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def run(*words: str) -> str:
        done = subprocess.run([python, "-m", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "-q", "--no-compile", f"{ROOT}[pytest]")
    client, backend, forAsyncio, forTwisted = blocks()
    uses = "\n\ndef test_backend(backend):\n    assert backend.port\n"
    (tmp_path / "test_client.py").write_text(client)
    (tmp_path / "test_backend.py").write_text(backend + uses)
    assert "5 passed" in run("pytest", "-q", "-W", "error")
    run("pip", "install", "-q", "--no-compile", "pytest-asyncio", "pytest-twisted")
    (tmp_path / "test_asyncio.py").write_text(forAsyncio)
    (tmp_path / "test_twisted.py").write_text(forTwisted)
    assert "7 passed" in run("pytest", "-q")
