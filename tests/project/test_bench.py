"""
The measurements run, and the load generator notices what is no echo.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.__main__ import main, parser
from bench.generator import WrongReply, built
from bench.process import Cores
from bench.rounds import Ratio, Results, rotated, run
from bench.rows import CPU, LATENCIES, ROWS, STARTUP, Figure, Row, Setting
from bench.servers import MAKERS, OURS, Server, made
from bench.toolchains import Missing
from echotwist.probe.doctor.datagrams import DATAGRAM_CHECKS
from echotwist.probe.doctor.streams import STREAM_CHECKS
from tests.support.compiling import COMPILES
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

BY_KEY = {row.key: row for row in ROWS}
STREAM, DATAGRAM = BY_KEY["tcp-1x64"], BY_KEY["udp-10x10x64"]

#: Bytes that a chart may have.
SMALL = 60_000


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
    A second reply to a datagram is counted apart.
    """
    found = measured(DATAGRAM, DATAGRAMS.format(replies="[data, data]"), setting)
    assert found["late"] > 0


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
    servers, skipped = made(["C epoll", "Go", "PHP", "asyncio"], tmp_path)
    assert [server.name for server in servers] == ["asyncio"]
    assert skipped == {
        "C epoll": "cc is not installed",
        "Go": "go is not installed",
        "PHP": "php is not installed",
    }
    with pytest.raises(Missing, match="cc is not installed"):
        built(tmp_path)


def test_notCompiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A server that does not compile is skipped, with the compiler's last line.
    """
    for name in ("cc", "go"):
        (tmp_path / name).write_text("#!/bin/sh\necho one; echo no luck; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    servers, skipped = made(["C epoll", "Go", "asyncio"], tmp_path)
    assert [server.name for server in servers] == ["asyncio"]
    assert skipped == {
        "C epoll": "stream.c does not compile: no luck",
        "Go": "echo.go does not compile: no luck",
    }


def test_tooMany(tmp_path: Path) -> None:
    """
    A server is left out of rows with more connections than it can take.
    """
    napping = Server("napping", {"tcp": [], "udp": []}, most=1)
    assert [row.key for row in ROWS if row.load.transport == "tcp" and row.takes(napping)] == [
        "tcp-1x64"
    ]


def test_pairs() -> None:
    """
    Ratios are taken within each round; the order of the servers turns.
    """
    results = Results()
    for ours, theirs in [(2.0, 1.0), (30.0, 10.0), (4.0, 1.0)]:
        results.add("row", "ours", {"cpu": ours})
        results.add("row", "theirs", {"cpu": theirs})
    assert results.median("row", "ours", "cpu") == 4
    assert results.ratio("row", "ours", "theirs", "cpu") == Ratio(3, 2, 4)
    servers = [Server(name, {}) for name in "abc"]
    orders = ["".join(server.name for server in rotated(servers, n)) for n in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


@pytest.mark.parametrize(
    ("ratios", "word"),
    [
        ([0.90, 0.99], "ahead"),
        ([0.90, 0.996], "level"),
        ([0.90, 1.10], "level"),
        ([1.00, 1.20], "level"),
        ([1.01, 1.20], "behind"),
        ([0.50], "–"),
    ],
)
def test_standing(ratios: Sequence[float], word: str) -> None:
    """
    A server that is better in every round is ahead, if two decimals show it; better is
    less, or more, as the row says. One round tells nothing.
    """
    ratio = Ratio(ratios[0], min(ratios), max(ratios))
    assert ratio.standing(CPU) == word
    turned = {"ahead": "behind", "behind": "ahead"}.get(word, word)
    assert ratio.standing(Figure("rate", more=True)) == turned


def test_best() -> None:
    """
    The best of others is the one with the best median, as far as it has one.
    """
    results = Results()
    for cheap, dear in [(1.0, 2.0), (9.0, 2.0), (1.0, 2.0)]:
        results.add("row", "cheap", {"cpu": cheap})
        results.add("row", "dear", {"cpu": dear})
    others = ["dear", "absent", "cheap"]
    assert results.best("row", others, CPU) == "cheap"
    assert results.best("row", others, Figure("cpu", more=True)) == "dear"
    assert results.best("row", ["absent"], CPU) is None


def complete(rounds: int = 7) -> Results:
    """
    Make up figures for all servers in all rows.
    """
    results = Results(about={"processor": "none"})
    for number, row, server in product(range(rounds), ROWS, MAKERS):
        names = ["messages", "lost", *(figure.name for figure in [*row.figures, *LATENCIES])]
        value = 1 + number / 10 + len(server)
        results.add(row.key, server, dict.fromkeys(names, value))
    return results


def test_chart(tmp_path: Path) -> None:
    """
    The chart is small, and the same figures give the same file.
    """
    from bench.chart import draw

    charts = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for chart in charts:
        draw(chart, complete())
    assert charts[0].read_bytes() == charts[1].read_bytes()
    assert charts[0].stat().st_size < SMALL
    assert ElementTree.parse(charts[0]).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_pages() -> None:
    """
    The documentation has the figures of the result that lies beside it, and
    its charts are small.
    """
    from bench.pages import CHART, PAGES, PLACE, RESULT, figures, filled

    texts = figures(Results.read(ROOT / RESULT))
    for name in PAGES:
        page = (ROOT / name).read_text()
        assert PLACE.search(page)
        assert filled(page, texts) == page
    charts = list((ROOT / "docs").glob("*.svg"))
    assert ROOT / CHART in charts
    assert max(chart.stat().st_size for chart in charts) < SMALL


def test_filled() -> None:
    """
    Figures are put between their comments, in place of older ones.
    """
    from bench.pages import filled

    page = "One\n\n.. figures: all\n\nold\n\n.. figures end\n\nTwo\n"
    assert filled(page, {"all": "new\n"}) == page.replace("old", "new")


def test_readAgain(tmp_path: Path) -> None:
    """
    A result that was written and is read gives the same tables.
    """
    from bench.tables import told

    report = told(complete())
    report.writeJSON(tmp_path / "json")
    again = told(Results.read(tmp_path / "json"))
    assert again.reST() == report.reST()
    assert again.data == report.data


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    """
    Run the command.
    """
    words = [sys.executable, "-m", "bench", *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def files(folder: Path, *names: str) -> Sequence[str]:
    """
    Return the options that name files.
    """
    return [f"--{name}={folder / name}" for name in names]


def test_short(tmp_path: Path) -> None:
    """
    The short form measures every row, has every server do something, names
    what it skips and says on what ours runs.
    """
    done = bench("--short", *files(tmp_path, "chart", "table", "json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "json").read_text())
    assert list(found["rows"]) == [*(row.key for row in ROWS), STARTUP]
    about, rows = found["about"], found["rows"].values()
    for server in MAKERS:
        assert f"skipped {server}" in about or any(server in cells for cells in rows)
    assert all(OURS in found["rows"][row.key] for row in ROWS)
    assert about[OURS] == f"LeanReactor, fast: {'c' if COMPILES else 'python'}"
    assert about["echotwist python"] == "LeanReactor, fast: python"
    assert about["echotwist portable"] == "EPollReactor, portable"
    table = (tmp_path / "table").read_text()
    for text in [*(row.label for row in ROWS), *(f"{name}: {about[name]}" for name in about)]:
        assert text in done.stdout
        assert text in table


def test_shortWorkers(tmp_path: Path) -> None:
    """
    The short form of the measurement of workers runs.
    """
    done = bench("--short", "--workers", *files(tmp_path, "json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "json").read_text())
    assert found["workers"]
    assert all(sorted(counts) == ["1", "2"] for counts in found["workers"].values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "bench: cannot read {}: No such file or directory"),
        ("{}", "bench: no result of a measurement: {}"),
    ],
)
def test_unreadable(
    tmp_path: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A file without a result is refused in one line.
    """
    file = tmp_path / "json"
    if text:
        file.write_text(text)
    assert main([f"--from={file}"]) == 1
    assert capsys.readouterr().err == words.format(file) + "\n"


def test_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A server that does not exist is refused in one line.
    """
    with pytest.raises(SystemExit):
        parser([], list(MAKERS)).parse_args(["--servers=Go,Nope"])
    assert capsys.readouterr().err.splitlines()[-1].endswith("there is no Nope")


def test_doctorPage() -> None:
    """
    The page on doctor has what was found of all services, and of each check that doctor
    makes; all that can be told of ours is right.
    """
    from bench.doctor import PAGE, RESULT, SERVICES, figures
    from bench.pages import PLACE, filled

    data = json.loads((ROOT / RESULT).read_text())
    page = (ROOT / PAGE).read_text()
    assert PLACE.search(page)
    assert filled(page, figures(data)) == page
    made = [*(("udp", one.name) for one in DATAGRAM_CHECKS)]
    made += [("tcp", one.name) for one in STREAM_CHECKS]
    assert {*data["services"]} == {*SERVICES}
    for name, found in data["services"].items():
        checks = found["checks"]
        assert [(one["kind"], one["name"]) for one in checks] == made
        assert "echotwist" not in name or "wrong" not in {one["state"] for one in checks}


def test_doctor(tmp_path: Path) -> None:
    """
    The services can be examined; nothing is wrong with ours.
    """
    done = bench("doctor", "--only=echotwist", *files(tmp_path, "json"))
    assert done.returncode == 0, done.stderr
    [(name, found)] = json.loads((tmp_path / "json").read_text())["services"].items()
    assert name == "echotwist"
    states = [one["state"] for one in found["checks"]]
    assert (states.count("ok"), states.count("not applicable")) == (26, 1)


def test_probePage() -> None:
    """
    The page on measuring has the figures of the result that lies beside it, of the probe
    and of all others; the probe is ahead of each in accuracy, for half of the round trips.
    """
    from bench.pages import PLACE, filled
    from bench.probe import PAGE, PATHS, RESULT, figures
    from bench.tools import TOOLS

    data = json.loads((ROOT / RESULT).read_text())
    page = (ROOT / PAGE).read_text()
    assert PLACE.search(page)
    assert filled(page, figures(data)) == page
    assert {*data["paths"]} == {*PATHS}
    for tools in data["paths"].values():
        assert {*tools} == {*TOOLS}
        others = [found for name, found in tools.items() if "echoprobe" not in name]
        assert tools["echoprobe UDP"]["error50"] < min(found["error50"] for found in others)


def test_probeLateness() -> None:
    """
    It is said how late the probe was by its own account.
    """
    from bench.probe import figures

    found = {"error50": 700.0, "error99": 2e3, "cpu": 5e4, "own50": 11_400.0, "own99": 312_000.0}
    data = {"about": {}, "paths": {"veth": {"echoprobe UDP": found}}, "faults": []}
    said = (
        "echoprobe UDP late by its own account, 10,000 a second, veth: 11.4 µs (p50), 312 µs (p99)"
    )
    assert said in figures(data)["probe"]


def test_probe(tmp_path: Path) -> None:
    """
    Tools can be compared; those that are not installed are left out, and it says so.
    """
    names = ["echoprobe UDP", "fping"]
    done = bench("probe", "--short", f"--only={','.join(names)}", *files(tmp_path, "json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "json").read_text())
    for path in ("loopback", "veth"):
        for name in names:
            if f"skipped {name}" not in found["about"]:
                assert found["paths"][path][name]["error50"] >= 0
                assert found["paths"][path][name]["cpu"] != 0
    assert "echoprobe UDP" in found["paths"]["veth"]


def test_lateness() -> None:
    """
    How late probes are is counted from the one that is least late.
    """
    from bench.paths import lateness

    assert lateness([1000, 2000, 3500, 4000], 1_000_000) == [0, 0, 500, 0]
    assert lateness([1500, 2000, 3000], 1_000_000) == [500, 0, 0]
