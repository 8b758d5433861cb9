"""
The measurements run, and the load generator notices what is no echo.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.__main__ import parser
from bench.generator import WrongReply, built
from bench.process import Cores
from bench.rounds import Results, rotated, run
from bench.rows import ROWS, Row, Setting
from bench.servers import MAKERS, Server, made
from bench.toolchains import Missing
from tests.support.live import ROOT

pytestmark = pytest.mark.slow

#: An echo over TCP that answers something else to the hundredth read.
ALTERS = """
import socket
with socket.create_server(("127.0.0.1", 0)) as listener:
    print("port", listener.getsockname()[1], flush=True)
    stream, _ = listener.accept()
    reads = 0
    while data := stream.recv(100):
        reads += 1
        stream.sendall({reply} if reads == 100 else data)
"""

#: An echo over UDP that answers something else to every fourth datagram.
DATAGRAMS = """
import socket
with socket.socket(type=socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 0))
    print("port", server.getsockname()[1], flush=True)
    count = 0
    while True:
        data, peer = server.recvfrom(10000)
        count += 1
        for reply in [data] if count % 4 else {replies}:
            server.sendto(reply, peer)
"""

STREAM, DATAGRAM = (next(row for row in ROWS if row.key == key) for key in ("tcp-1x64", "udp-64"))


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """
    Short measurements.
    """
    program = built(tmp_path_factory.mktemp("bench"))
    return Setting.chosen(program, Cores(), short=True, rounds=1, seconds=0.3)


def broken(source: str) -> Server:
    """
    Make a server that is no echo.
    """
    command = [sys.executable, "-c", source]
    return Server("broken", {"tcp": command, "udp": command})


def measured(row: Row, source: str, setting: Setting) -> Mapping[str, float]:
    """
    Measure such a server.
    """
    return row.run(broken(source), setting)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("data[:-1] + bytes([data[-1] ^ 1])", "wrong byte"),
        ("bytes([data[0] ^ 255]) + data[1:]", "wrong byte"),
        ("data + b'!'", "more bytes than were sent"),
        ("stream.close() or b''", "closed"),
    ],
)
def test_wrongStream(setting: Setting, reply: str, words: str) -> None:
    """
    One altered byte of a stream is noticed, and so are one too many and an end.
    """
    with pytest.raises(WrongReply, match=words):
        measured(STREAM, ALTERS.format(reply=reply), setting)


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ("[data[:-1] + bytes([data[-1] ^ 1])]", "wrong byte in a datagram"),
        ("[bytes([data[0] ^ 1]) + data[1:]]", "wrong byte in a datagram"),
        ("[data[:-1]]", "wrong length: 63 instead of 64"),
    ],
)
def test_wrongDatagram(setting: Setting, replies: str, words: str) -> None:
    """
    One altered byte of a datagram is noticed, in its number as well; and a
    missing one.
    """
    with pytest.raises(WrongReply, match=words):
        measured(DATAGRAM, DATAGRAMS.format(replies=replies), setting)


def test_lostDatagrams(setting: Setting) -> None:
    """
    Datagrams that are not answered are counted, and others take their place.
    """
    found = measured(DATAGRAM, DATAGRAMS.format(replies="[]"), setting)
    assert found["lost"] > 0
    assert found["messages"] > 0


def test_doubledDatagrams(setting: Setting) -> None:
    """
    A second reply to a datagram is counted, and not taken for another's.
    """
    found = measured(DATAGRAM, DATAGRAMS.format(replies="[data, data]"), setting)
    assert found["late"] > 0
    assert found["lost"] == 0


def test_blame(setting: Setting) -> None:
    """
    A server that is wrong is named, and the others are measured all the same.
    """
    servers, _ = made(["asyncio"], Path())
    wrong = broken(ALTERS.format(reply="b'!' * len(data)"))
    results = run([STREAM], [wrong, *servers], setting, lambda _: None)
    assert len(results.faults) == 1
    assert results.faults[0].startswith("broken, TCP 1 × 64 B: wrong byte: 0x21 instead of")
    assert list(results.cells[STREAM.key]) == ["asyncio"]


def test_notStarted(setting: Setting) -> None:
    """
    A server that does not start is named, with its last words.
    """
    results = run([STREAM], [broken("raise SystemExit('no luck')")], setting, lambda _: None)
    assert results.faults == ["broken, TCP 1 × 64 B: no luck"]


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is not installed is skipped with the reason; without a compiler there
    is no generator.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    servers, skipped = made(["C", "Go", "PHP", "asyncio"], tmp_path)
    assert [server.name for server in servers] == ["asyncio"]
    assert skipped == {
        "C": "cc is not installed",
        "Go": "go is not installed",
        "PHP": "php is not installed",
    }
    with pytest.raises(Missing, match="cc is not installed"):
        built(tmp_path)


def test_pairs() -> None:
    """
    Ratios are taken within each round; the order of the servers turns.
    """
    results = Results()
    for ours, theirs in [(2.0, 1.0), (30.0, 10.0), (4.0, 1.0)]:
        results.add("row", "ours", {"cpu": ours})
        results.add("row", "theirs", {"cpu": theirs})
    assert results.median("row", "ours", "cpu") == 4
    assert results.ratio("row", "ours", "theirs", "cpu") == 3
    servers = [Server(name, {}) for name in "abc"]
    orders = ["".join(server.name for server in rotated(servers, n)) for n in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    """
    Run the command.
    """
    words = [sys.executable, "-m", "bench", "--short", *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def files(folder: Path, *names: str) -> Sequence[str]:
    """
    Give the options that name files.
    """
    return [f"--{name}={folder / name}" for name in names]


def test_short(tmp_path: Path) -> None:
    """
    The short form measures every row, names what it skips, and draws a chart.
    """
    done = bench(*files(tmp_path, "chart", "table", "json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "json").read_text())
    assert list(found["rows"]) == [row.key for row in ROWS]
    assert sorted(found["startup"]) == ["twistd -n echo", "twistd -n web"]
    present = found["rows"]["tcp-1x64"].keys()
    assert "echotwist" in present
    assert sorted(present | found["skipped"].keys()) == sorted(MAKERS)
    table = (tmp_path / "table").read_text()
    for name, reason in found["skipped"].items():
        assert f"skipped: {name}, {reason}" in done.stdout
        assert f"- skipped: {name}, {reason}" in table
    for row in ROWS:
        assert row.label in done.stdout
        assert row.label in table
    assert ElementTree.parse(tmp_path / "chart").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_shortWorkers(tmp_path: Path) -> None:
    """
    The short form of the measurement of workers runs.
    """
    done = bench("--workers", *files(tmp_path, "json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "json").read_text())
    assert found["workers"]
    assert all(sorted(counts) == ["1", "2"] for counts in found["workers"].values())


def test_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A server that does not exist is refused in one line.
    """
    with pytest.raises(SystemExit):
        parser([], list(MAKERS)).parse_args(["--servers=C,Nope"])
    assert capsys.readouterr().err.splitlines()[-1].endswith("no such server: Nope")
