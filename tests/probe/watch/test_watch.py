"""
A watch as a program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import psutil
import pytest

import echotwist.probe
from echotwist.probe.schedule import SECOND
from tests.support.live import PATIENCE, ROOT, Server, freePort, ours, ownProtocol
from tests.support.probing import PROGRAM, WELL, Misbehaving, probe
from tests.support.watching import NOBODY, Watching, fileOf, watching

pytestmark = pytest.mark.oneWay

SCHEMA = json.loads(Path(echotwist.probe.__file__).with_name("schema.json").read_text())


#: Counts the calls of functions, those of C too, that a program makes.
COUNTING = """
import sys
from echotwist.probe.command import run
calls = 0
def count(frame, event, what):
    global calls
    calls += event in ("call", "c_call")
sys.setprofile(count)
run(sys.argv[1:])
sys.setprofile(None)
print(calls, file=sys.stderr)
"""

#: Calls that a probe over UDP may cost, where five have their turns together.
CALLS = 140


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service, as it is by default, on a free port.
    """
    with ours(tmp_path_factory.mktemp("service")) as service:
        yield service


def ended(running: Watching, number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """
    End a watch; give its status, what it wrote, and what it said.
    """
    running.process.send_signal(number)
    out, err = running.process.communicate(timeout=PATIENCE)
    return running.process.returncode, out, err


def test_report(tmp_path: Path, server: Server) -> None:
    """
    All targets of a file are probed at their own rates, and told of in one object.
    """
    port = server.port
    path = fileOf(
        tmp_path,
        f"four=udp:127.0.0.1:{port}",
        f"again=udp:127.0.0.1:{port}",
        f"six=udp:[::1]:{port}",
        f"stream=tcp:127.0.0.1:{port}",
        f"named=tcp:localhost:{port}",
        f"silent={NOBODY}",
        common="interval = 0.05",
    )
    done = probe("watch", str(path), "--json", "--duration=0.5", "--fail-if", "loss>50%")
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    assert (report["schema"], done.returncode) == ("echoprobe-watch", 3)
    found = {one["name"]: one for one in report["results"]}
    assert list(found) == ["four", "again", "six", "stream", "named", "silent"]
    for name in ("four", "again", "six", "stream", "named"):
        one = found[name]
        assert (one["sent"], one["back"], one["lost"]["count"]) == (10, 10, 0), one
        assert one["intervalNs"] == 50_000_000
    assert [found[name]["clock"] for name in ("four", "six")] == ["kernel", "kernel"]
    silent = found["silent"]["lost"]
    assert silent["reported"]["reasons"][0]["reason"] == "ICMP port unreachable from 127.0.0.1"
    assert silent["reported"]["count"] == 10
    held = {one["target"]: one["held"] for one in report["verdicts"]}
    assert held == {**dict.fromkeys(found, True), "silent": False}


def test_text(tmp_path: Path, server: Server) -> None:
    """
    For a person there is a line for each target, and its faults below.
    """
    path = fileOf(tmp_path, f"good=udp:127.0.0.1:{server.port}", f"bad={NOBODY}")
    done = probe("watch", str(path), "--interval=0.05", "--count=4")
    head, good, *rest = done.stdout.splitlines()
    bad, lost = (
        next(line for line in rest if line.startswith(word)) for word in ("bad", "    lost")
    )
    assert head.split() == ["target", "sent", "lost", "%", "late", "median", "p99", "max"]
    assert good.split()[:5] == ["good", "4", "0", "0", "0"]
    assert bad.split() == ["bad", "4", "4", "100", "0", "-", "-", "-"]
    assert lost == "    lost   4 left; ICMP port unreachable from 127.0.0.1"
    assert (done.returncode, done.stderr) == (3, "")


def test_lines(tmp_path: Path, server: Server) -> None:
    """
    ``--jsonl`` tells of each probe, by the name of its target.
    """
    path = fileOf(tmp_path, f"good=udp:127.0.0.1:{server.port}", f"bad={NOBODY}")
    done = probe("watch", str(path), "--interval=0.05", "--count=4", "--jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    counted = Counter((row["target"], row["outcome"]) for row in rows)
    assert counted == {("good", "back"): 4, ("bad", "lost"): 4}


def test_reload(tmp_path: Path, server: Server) -> None:
    """
    At SIGHUP targets begin and end, and those that stay keep their counts; a bad file is
    told in one line, and all go on.
    """
    good, other = f"udp:127.0.0.1:{server.port}", f"tcp:127.0.0.1:{server.port}"
    path = fileOf(tmp_path, f"stays={good}", f"goes={other}")
    with watching(path, "--interval=0.05") as running:
        running.waitFor(lambda: running.values("sent_total")["stays"] > 10)
        path.write_text("nothing = 1")
        running.process.send_signal(signal.SIGHUP)
        running.waitFor(lambda: running.values("reloads_total")["failed"] == 1)
        assert running.values("last_reload_successful") == {"": 0}
        assert set(running.values("sent_total")) == {"stays", "goes"}
        before = running.values("sent_total")["stays"]
        fileOf(tmp_path, f"comes={other}", f"stays={good}", common="timeout = 1")
        running.process.send_signal(signal.SIGHUP)
        running.waitFor(lambda: running.values("reloads_total")["done"] == 1)
        running.waitFor(lambda: running.values("received_total")["comes"] > 3)
        assert running.values("targets") == {"": 2}
        sent = running.values("sent_total")
        assert set(sent) == {"stays", "comes"}
        assert sent["stays"] >= before > 10
        assert sum(running.values("lost_total").values()) == 0
        status, out, err = ended(running)
    assert status in WELL
    words = [line.split()[0] for line in out.splitlines() if "BEWARE" not in line]
    assert words == ["target", "comes", "stays"]
    bad, reloaded = err.splitlines()
    assert bad.startswith(f"echoprobe: not reloaded: {path}: nothing: unknown key; the keys are ")
    assert bad.endswith("; all targets stay as they were")
    assert reloaded == f"echoprobe: reloaded: {path}: targets: 1 unchanged, 1 new, 1 gone"


def test_terminal(tmp_path: Path, server: Server) -> None:
    """
    A terminal that closes ends the watch that it was for; before, SIGHUP is a reload.
    """
    path = fileOf(tmp_path, f"here=udp:127.0.0.1:{server.port}")
    near, far = os.openpty()
    with watching(path, before=("setsid", "--ctty"), stdin=far) as running:
        os.close(far)
        running.process.send_signal(signal.SIGHUP)
        running.waitFor(lambda: running.values("reloads_total")["done"] == 1)
        running.waitFor(lambda: running.values("received_total")["here"] > 0)
        os.close(near)
        status = running.process.wait(PATIENCE)
    assert status in WELL


def test_metrics(tmp_path: Path) -> None:
    """
    What metrics say is what the service did.
    """

    def treat(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        kind = number % 5 if number <= 50 else 4
        did[str(kind)] += 1
        broken = data[:30] + bytes([data[30] ^ 1]) + data[31:]
        return {0: [], 1: [(0.0, data)] * 2, 2: [(0.0, broken)], 3: [(0.4, data)]}.get(
            kind, [(0.0, data)]
        )

    with Misbehaving(treat) as service:
        path = fileOf(tmp_path, f"odd={service.target}")
        with watching(path, "--interval=0.05", "--timeout=0.2") as running:
            running.waitFor(lambda: running.values("received_total")["odd"] > 50)

            def value(name: str) -> int:
                return int(running.values(name)["odd"])

            assert value("damaged_total") == service.did["2"] == 10
            assert value("duplicates_total") == service.did["1"] == 10
            assert value("late_total") == service.did["3"] == 10
            lost = running.values("lost_total")
            assert lost == {"odd never-left": 0, "odd reported": 0, "odd unanswered": 20}
            assert value("reordered_total") == 10
            assert value("rtt_seconds_count") >= 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no file of targets; echoprobe watch --help says more"),
        (["a", "b"], "more than one file; echoprobe watch --help says more"),
        (["/nowhere"], "/nowhere: No such file or directory (errno 2)"),
        (["FILE", "--metrics=tcp:x"], "--metrics tcp:x: port x: not a whole number from 0 to"),
        (["FILE", "--metrics=tcp:1:x=1"], "--metrics tcp:1:x=1: tcp has no parameter x; it has"),
        (["FILE", "--metrics=tcp:70000"], "--metrics tcp:70000: port 70000: not a whole number"),
        (["FILE", "--metrics=systemd:INET:index=0"], "no such socket was passed to this process"),
        (["FILE", "--metrics=stdio:"], "--metrics stdio:: stdio is no place to listen"),
        (["FILE", "--metrics=nothing:1"], "--metrics nothing:1: "),
        (["FILE", "--metrics=tcp:1:interface=192.0.2.77"], "Cannot assign requested address"),
        (["FILE", "--size=70000"], "size 70000: a datagram there has 65507 at the most"),
        (["FILE", "--rate=2000"], "more than 1,000 probes a second to an address"),
        (["FILE", "--speed=2000"], "option --speed not recognized"),
    ],
)
def test_usage(tmp_path: Path, words: list[str], said: str) -> None:
    """
    A mistake is one line, and status 2.
    """
    path = str(fileOf(tmp_path, "udp:8.8.8.8"))
    done = probe("watch", *[path if word == "FILE" else word for word in words])
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("echoprobe: ")
    assert said in line


def test_files(tmp_path: Path, server: Server) -> None:
    """
    The process has the system let it open as many files as its connections need, or says
    that it may not.
    """
    path = fileOf(tmp_path, *(f"{n}=tcp:127.0.0.1:{server.port}" for n in range(60)))
    words = [*PROGRAM, "watch", str(path), "--count=1", "--timeout=60", "--json"]

    def under(limit: str) -> subprocess.CompletedProcess[str]:
        shell = ["sh", "-c", f'{limit} && exec "$@"', "sh", *words]
        return subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)

    done = under("ulimit -Sn 100")
    assert (done.returncode in WELL, done.stderr) == (True, "")
    assert [one["back"] for one in json.loads(done.stdout)["results"]] == [1] * 60
    done = under("ulimit -n 100")
    # Targets of the same address share no socket: replies would be anybody's.
    fileOf(tmp_path, *(f"{n}=udp:127.0.0.1:{server.port}" for n in range(60)))
    assert under("ulimit -n 100").stderr == done.stderr
    said = "so many connections need 244 open files; ulimit -n allows 100"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"echoprobe: {said}\n")


def test_cheap(tmp_path: Path, server: Server) -> None:
    """
    A probe costs few calls of functions: one process watches a thousand targets.
    """
    addresses = (f"udp:127.0.0.{number}:{server.port}" for number in range(1, 51))
    path = fileOf(tmp_path, *addresses, common="interval = 0.2")

    def cost(count: int) -> tuple[int, int]:
        words = [sys.executable, "-c", COUNTING, "watch", str(path), f"--count={count}", "--json"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        back = sum(one["back"] for one in json.loads(done.stdout)["results"])
        return int(done.stderr), back

    (calls, back), (more, later) = cost(2), cost(7)
    assert (more - calls) / (later - back) < CALLS


@pytest.mark.parametrize("interface", ["", "interface = 'lo'"], ids=["shared", "alone"])
def test_manyUnderWay(tmp_path: Path, interface: str) -> None:
    """
    However many probes of a target are under way, each has its own timestamps.
    """
    with Misbehaving(lambda did, number, data: [(0.5, data)]) as service:
        path = fileOf(tmp_path, f"far={service.target}", common="rate = 500")
        path.write_text(f"{path.read_text()}\n{interface}")
        done = probe("watch", str(path), "--count=600", "--json")
    [one] = json.loads(done.stdout)["results"]
    assert (one["back"] + one["late"], one["clockStepped"]) == (600, 0)
    assert one["rttNs"]["min"] >= SECOND // 2


def test_unknown(tmp_path: Path, server: Server) -> None:
    """
    A name that nobody knows is told once, its probes never leave, and others go on.
    """
    path = fileOf(tmp_path, "away=udp:nowhere.invalid", f"here=udp:127.0.0.1:{server.port}")
    done = probe("watch", str(path), "--interval=0.1", "--count=5", "--json")
    away, here = json.loads(done.stdout)["results"]
    assert (done.returncode, here["back"], away["sent"]) == (3, 5, 5)
    assert away["lost"]["neverLeft"]["count"] == 5
    [line] = done.stderr.splitlines()
    assert line.startswith("echoprobe: away: udp:nowhere.invalid:7: nowhere.invalid: ")
    assert away["lost"]["neverLeft"]["reasons"][0]["reason"] in line


def test_interrupted(tmp_path: Path, server: Server) -> None:
    """
    ^C has it tell what it found, with the same status.
    """
    path = fileOf(tmp_path, f"here=udp:127.0.0.1:{server.port}")
    with watching(path, "--interval=0.05") as running:
        running.waitFor(lambda: running.values("received_total")["here"] > 3)
        status, out, err = ended(running, signal.SIGINT)
    assert status in WELL
    assert out.splitlines()[1].startswith("here")
    assert err == ""


@pytest.mark.slow
def test_restart(tmp_path: Path) -> None:
    """
    When a service of each kind of target is started anew, replies come again, and each
    probe is answered or lost; ``--plot`` draws all of them, by their names.
    """
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2"
    subprocess.run([*words.split(), "-subj", "/CN=localhost"], check=True, capture_output=True)
    port, secure, protocol = freePort(), freePort(), ownProtocol()
    waysIn = (
        f"--port={port}",
        f"--listen=ssl:{secure}:privateKey={key}:certKey={certificate}:interface=127.0.0.1",
        f"--listen=unix:{tmp_path}/stream",
        f"--unix-datagram={tmp_path}/datagrams",
        f"--raw={protocol}",
    )
    places = {
        "udp": f"127.0.0.1:{port}",
        "tcp": f"127.0.0.1:{port}",
        "tls": f"127.0.0.1:{secure}",
        "unix": f"{tmp_path}/stream",
        "unix-datagram": f"{tmp_path}/datagrams",
        "raw": f"127.0.0.1:{protocol}",
    }
    # raw comes last: what follows is for it.
    path = fileOf(tmp_path, *(f"{kind}={kind}:{place}" for kind, place in places.items()))
    path.write_text(f"{path.read_text()}\nsource = '127.0.0.9'")
    options = ("--interval=0.1", "--timeout=0.5", "--insecure", f"--plot={tmp_path}/drawn.svg")
    with ExitStack() as stack:

        def waitForMore(name: str) -> None:
            before = running.values(name)
            running.waitFor(lambda: all(_more(running.values(name), before)))

        def _more(now: dict[str, float], before: dict[str, float]) -> list[bool]:
            kinds = [{one for one in now if one.split()[0] == kind} for kind in places]
            return [sum(now[one] - before[one] for one in ones) > 2 for ones in kinds]

        with ours(tmp_path, waysIn=waysIn):
            running = stack.enter_context(watching(path, *options, "--json"))
            waitForMore("received_total")
        waitForMore("lost_total")
        with ours(tmp_path, waysIn=waysIn):
            waitForMore("received_total")
            status, out, err = ended(running)
    results = {one["name"]: one for one in json.loads(out)["results"]}
    assert (list(results), status in WELL) == (list(places), True)
    # Without the service there is no such file, which is told once.
    assert all("/datagrams: No such file" in line for line in err.splitlines())
    for one in results.values():
        assert one["sent"] == one["back"] + one["late"] + one["lost"]["count"] + one["waiting"]
        assert (one["twice"], one["damaged"], one["strange"]) == (0, 0, 0)
    drawn = (tmp_path / "drawn.svg").read_text()
    assert all(f"{name}: {one['sent']:,} sent" in drawn for name, one in results.items())


@pytest.mark.slow
def test_bounded(tmp_path: Path, server: Server) -> None:
    """
    A watch that has sent many more probes has no more open and needs no more memory.
    """
    kinds = [f"{kind}{number}" for kind in ("udp", "tcp") for number in range(5)]
    path = fileOf(tmp_path, *(f"{one}={one[:3]}:127.0.0.1:{server.port}" for one in kinds))
    with watching(path, "--interval=0.01", "--timeout=0.1") as running:
        process = psutil.Process(running.process.pid)

        def sizeAfter(sent: int) -> tuple[int, int]:
            running.waitFor(lambda: sum(running.values("sent_total").values()) > sent)
            return process.num_fds(), process.memory_info().rss

        before, after = sizeAfter(3000), sizeAfter(12_000)
    assert after[0] <= before[0] + 1, "the page that is asked for is one"
    assert after[1] < before[1] + 2**22
