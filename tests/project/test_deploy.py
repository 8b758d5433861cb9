"""
What is in ``deploy/``, tested as far as it can be without its host.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
import yaml
from twisted.python import usage

from echotwist import Options, Settings
from echotwist.probe.options import (
    DoctorOptions,
    ExplainOptions,
    IdleOptions,
    LoadOptions,
    MtuOptions,
    PathsOptions,
    PingOptions,
    WatchOptions,
)
from tests.support.live import BIN, PATIENCE, ROOT, Server, freePort, waitUntil
from tests.support.peers import identity
from tests.support.rules import answers
from tests.support.systemd import SYSTEMD, Host, booted

DEPLOY = ROOT / "deploy"

#: Where the units and the image have the commands.
INSTALLED = "/opt/echotwist/bin"

#: One that every user may run, unlike one in a home.
PYTHON = shutil.which("python3", path="/usr/bin") or sys.executable

#: The most that ``systemd-analyze security`` may say, in tenths.
EXPOSURE = 15

#: Seconds that the service may take to end when its drain is over.
END = 1

#: Seconds after which ``docker stop`` kills.
CONTAINER_PATIENCE = 10

#: Lines that are long enough for any text of an option, without hyphens.
WIDE = ["-rLL=500n", "-rHY=0"]

BOOT = (ROOT / "docs" / "howto" / "boot.rst").read_text("utf-8")


def tool(name: str) -> str:
    """
    Find a program, of this environment or of the system; without it, skip.
    """
    found = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(
    *command: str | Path, patience: float = PATIENCE, **more: Any
) -> subprocess.CompletedProcess[str]:
    """
    Run a program, and give what it says, errors with the rest.
    """
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience,
        check=False,
        **more,
    )


def quietly(*command: str | Path, **more: Any) -> None:
    """
    Run a program that has nothing to complain about.
    """
    done = run(*command, **more)
    assert (done.returncode, done.stdout) == (0, "")


def settingsOf(words: list[str]) -> Settings:
    """
    Return what a command line of ``twistd`` sets, from the word ``echo`` on.
    """
    options = Options()
    options.parseOptions(words[words.index("echo") + 1 :])
    return options.settings


# systemd


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """
    The units, as they are.
    """
    for unit in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.socket")):
        shutil.copy(unit, tmp_path)
    return tmp_path


def values(text: str, key: str) -> list[str]:
    """
    Return what a unit says about something, line by line.
    """
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


class DropIn(NamedTuple):
    """
    What the documentation would put on top of a unit.
    """

    kind: str
    text: str

    def add(self, units: Path, *changes: tuple[str, str]) -> None:
        """
        Put it there.

        :param changes: words of it, and what to have in their place.
        """
        folder = units / f"echotwist.{self.kind}.d"
        folder.mkdir(exist_ok=True, parents=True)
        text = self.text
        for word, other in changes:
            text = text.replace(word, other)
        (folder / "documented.conf").write_text(text, "utf-8")


def dropIns() -> dict[str, DropIn]:
    """
    Give all of them, by a word that each has alone.
    """
    blocks = re.findall(r"code-block:: ini\n\n((?: {4}.*\n|\n)+)", BOOT)
    texts = [re.sub("^ {4}", "", block, flags=re.MULTILINE) for block in blocks]
    found = [DropIn(re.findall(r"\[(.*)\]", text)[0].lower(), text) for text in texts]
    drops = dict(zip(CHANGES[1:], found, strict=True))
    assert all(word in drop.text for word, drop in drops.items())
    return drops


#: Words that each has alone, in the order of the page; and none for no change.
CHANGES = ["", "ListenStream", "metrics", "ssl:"]


@pytest.mark.parametrize("change", CHANGES)
def test_verify(units: Path, change: str) -> None:
    """
    systemd finds no fault with the units, nor with what the documentation
    would change in them.
    """
    if change:
        dropIns()[change].add(units)
    paths = [units / "echotwist.service", units / "echotwist.socket"]
    quietly(tool("systemd-analyze"), "verify", "--recursive-errors=no", *paths)


@pytest.mark.parametrize("change", CHANGES)
def test_exposure(units: Path, change: str) -> None:
    """
    The service has few privileges left: systemd counts at most 1.5 of 10.
    """
    if change:
        dropIns()[change].add(units)
    words = ["security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE}"]
    done = run(tool("systemd-analyze"), *words, units / "echotwist.service")
    assert done.returncode == 0, done.stdout


def test_times() -> None:
    """
    systemd waits until the drain is over; the watchdog is no faster than a
    service may be slow.
    """
    unit = (DEPLOY / "echotwist.service").read_text("utf-8")
    assert int(values(unit, "TimeoutStopSec")[0]) >= Settings().drain + END + 5
    assert int(values(unit, "WatchdogSec")[0]) >= 10


def test_commands() -> None:
    """
    The units and what the documentation puts on top run ``twistd`` with options
    that it has.
    """
    unit = (DEPLOY / "echotwist.service").read_text("utf-8")
    for text in (unit, *(one.text for one in dropIns().values() if one.kind == "service")):
        words = shlex.split(values(text, "ExecStart")[-1])
        assert words[:5] == ["/usr/bin/env", "twistd", "--nodaemon", "--pidfile=", "echo"]
        assert "--systemd" in words
        settingsOf(words)


def test_sockets() -> None:
    """
    The sockets are TCP and UDP, on the same port of both families; the asked
    address is known from the first datagram on.
    """
    unit = (DEPLOY / "echotwist.socket").read_text("utf-8")
    assert values(unit, "ListenStream") == values(unit, "ListenDatagram") == ["[::]:7"]
    assert values(unit, "BindIPv6Only") == ["both"]
    assert values(unit, "PassPacketInfo") == ["yes"]
    assert values(unit, "Backlog") == [str(Settings().backlog)]


# Containers


class Image(NamedTuple):
    """
    What the Containerfile says.
    """

    instructions: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """
        Return all instructions of one name.
        """
        return [rest for word, rest in self.instructions if word == name]

    @property
    def entry(self) -> list[str]:
        """
        The command that it runs; in exec form, or it is no JSON.
        """
        [entry] = self.all("ENTRYPOINT")
        return list(json.loads(entry))

    @property
    def health(self) -> list[str]:
        """
        The command that tells whether it is well.
        """
        [check] = self.all("HEALTHCHECK")
        return list(json.loads(check.partition(" CMD ")[2]))


@pytest.fixture(scope="module")
def image() -> Image:
    """
    The Containerfile, read.
    """
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    parts = [line.partition(" ") for line in lines if line]
    return Image([(name, rest.strip()) for name, _, rest in parts])


def test_lint() -> None:
    """
    A linter finds no fault with the Containerfile.
    """
    quietly(tool("hadolint"), DEPLOY / "Containerfile")


def test_base(image: Image) -> None:
    """
    Both stages use one Python, and name its minor version; the first can compile, the
    other is slim.
    """
    first, last = (base.partition(" ")[0] for base in image.all("FROM"))
    assert re.fullmatch(r"python:3\.\d+", first)
    assert last == f"{first}-slim"


def test_user(image: Image) -> None:
    """
    It does not run as root, and says so with numbers.
    """
    [user] = image.all("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_entry(image: Image) -> None:
    """
    It runs ``twistd`` in the foreground, without a pid file, on the ports that
    it names, and has ended before it is killed.
    """
    assert image.entry[:4] == [f"{INSTALLED}/twistd", "--nodaemon", "--pidfile=", "echo"]
    settings = settingsOf(image.entry)
    assert settings.metrics == "tcp:9464"
    assert image.all("EXPOSE") == [f"{settings.port}/tcp {settings.port}/udp 9464/tcp"]
    assert settings.drain + END < CONTAINER_PATIENCE
    assert image.all("STOPSIGNAL") == ["SIGTERM"]


class Container:
    """
    What the image runs, here.

    :param folder: that has the commands.
    """

    def __init__(self, image: Image, folder: Path, cwd: Path) -> None:
        self.metrics = freePort()
        self._health = [word.replace("9464", str(self.metrics)) for word in image.health]
        self._folder = str(folder)
        options = ["--port=0", f"--metrics=tcp:{self.metrics}:interface=127.0.0.1"]
        self.server = Server([*self._words(image.entry), *options], cwd)

    def _words(self, words: list[str]) -> list[str]:
        return [word.replace(INSTALLED, self._folder) for word in words]

    def healthy(self) -> bool:
        """
        Ask the health check, where a proxy is set that does not exist.
        """
        proxy = {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        return run(*self._words(self._health), env={**os.environ, **proxy}).returncode == 0

    def status(self, path: str) -> int:
        """
        Ask for a page.
        """
        with urlopen(f"http://127.0.0.1:{self.metrics}{path}", timeout=PATIENCE) as reply:
            return int(reply.status)


def test_health(image: Image, tmp_path: Path) -> None:
    """
    The command of the image serves, and its health check tells whether it does;
    the probes of Kubernetes find their pages.
    """
    container = Container(image, BIN, tmp_path)
    with container.server as server:
        answers(server.port)
        assert container.healthy()
        for probe in ("readinessProbe", "livenessProbe"):
            assert container.status(inPod()[probe]["httpGet"]["path"]) == 200
    assert not container.healthy()


@pytest.fixture(scope="module")
def installed(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    What the first stage makes, in another folder.
    """
    folder = tmp_path_factory.mktemp("image")
    source, made = folder / "source", folder / "made"
    copyAll(image, source)
    commands = image.all("RUN")[0].replace(str(Path(INSTALLED).parent), str(made))
    commands = commands.replace("python -m venv", f"{PYTHON} -m venv")
    path = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = run("sh", "-ec", commands, cwd=source, env=path, patience=600)
    assert done.returncode == 0, done.stdout
    return made


@pytest.mark.slow
def test_build(image: Image, installed: Path, tmp_path: Path) -> None:
    """
    The files that are copied into the image are all it takes to install it, with
    a list of its plugins.
    """
    assert list(installed.rglob("twisted/plugins/dropin.cache"))
    container = Container(image, installed / "bin", tmp_path)
    with container.server as server:
        answers(server.port)
        assert container.healthy()


def copyAll(image: Image, target: Path) -> None:
    """
    Do what the first stage copies.
    """
    for words in image.all("COPY")[:-1]:
        *names, folder = words.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / folder)
            else:
                (target / folder).mkdir(exist_ok=True, parents=True)
                shutil.copy(ROOT / name, target / folder)


# A host with systemd


TARGET = """
[Unit]
DefaultDependencies=no
Wants=echotwist.socket
"""

#: The host has no journal, and a service may not see /tmp.
CHANGED = """
[Unit]
DefaultDependencies=no
[Service]
WatchdogSec=3
BindReadOnlyPaths={installed}
StandardOutput=file:/run/shared/service.log
"""

#: Where the units are, there.
UNITS = "/run/systemd/system"

#: What is asked there, over both families, and how the answers look.
ASK = """
import socket
for host in ("127.0.0.2", "::1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"hello", (host, 7))
        reply, peer = client.recvfrom(100)
        assert (reply, peer[0]) == (b"hello", host), (reply, peer)
    with socket.create_connection((host, 7), 20) as stream:
        stream.sendall(bytes(100_000))
        stream.shutdown(socket.SHUT_WR)
        assert sum(map(len, iter(lambda: stream.recv(65536), b""))) == 100_000
"""


@pytest.fixture(scope="module")
def host(installed: Path) -> Iterator[Host]:
    """
    A host with the units, where nobody has come yet.
    """
    if os.geteuid() != 0 or not SYSTEMD.exists():
        pytest.skip("needs root and systemd")
    units = installed.parent / "units"
    units.mkdir()
    (units / "test.target").write_text(TARGET)
    for kind in ("service", "socket"):
        unit = (DEPLOY / f"echotwist.{kind}").read_text("utf-8")
        (units / f"echotwist.{kind}").write_text(unit.replace(INSTALLED, f"{installed}/bin"))
        (units / f"echotwist.{kind}.d").mkdir()
    changed = CHANGED.format(installed=installed)
    (units / "echotwist.service.d" / "test.conf").write_text(changed)
    (units / "echotwist.socket.d" / "test.conf").write_text("[Unit]\nDefaultDependencies=no\n")
    with booted(installed.parent) as host:
        yield host


#: What a watch is started with, there.
WATCHED = """
[Unit]
DefaultDependencies=no
[Service]
BindReadOnlyPaths={installed}
ExecStart=
ExecStart={command}
StandardOutput=file:/run/shared/watch.log
StandardError=file:/run/shared/watch.log
"""

#: Tells what the metrics of the watch are.
SCRAPE = """
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:9465/metrics", timeout=20).read().decode())
"""


@pytest.mark.slow
def test_watch(host: Host, installed: Path) -> None:
    """
    The unit of a watch starts it without privileges, reads its file again, and stops well;
    after a mistake in the file it is not started again.
    """
    name, folder = "echoprobe.service", installed.parent
    folder.chmod(0o755)  # The watch is another user.
    unit = (DEPLOY / name).read_text("utf-8").replace(INSTALLED, f"{installed}/bin")
    [command] = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    command = command.replace("/etc/echoprobe", "/run/shared")
    for path, text in {
        name: unit,
        f"{name}.d/test.conf": WATCHED.format(installed=installed, command=command),
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
        (folder / path).chmod(0o644)
        host.enter("-a", "install", "-D", "-m644", f"/run/shared/{path}", f"{UNITS}/{path}")
    targets = folder / "targets.toml"
    targets.write_text("interval = 0.1\n[[target]]\nname = 'one'\nto = 'udp:127.0.0.2'\n")
    targets.chmod(0o644)
    host.control("daemon-reload")
    host.control("start", name)

    def value(metric: str) -> float:
        try:
            page = host.python(SCRAPE)
        except AssertionError:
            return 0
        found = re.search(rf"^{re.escape(metric)}.* (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0

    waitUntil(lambda: value('echoprobe_received_total{name="one"') > 2, f"it runs: {host.log}")
    process = host.show("MainPID", name)
    status = host.enter("-a", "cat", f"/proc/{process}/status")
    assert not re.search(r"^Uid:.*\t0\b", status, re.MULTILINE)
    assert set(re.findall(r"^Cap\w+:\t(\w+)$", status, re.MULTILINE)) == {"0" * 16}
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    with targets.open("a") as file:
        file.write("[[target]]\nname = 'two'\nto = 'tcp:127.0.0.1'\n")
    host.control("reload", name)
    waitUntil(lambda: value('echoprobe_received_total{name="two"') > 2, f"it reads: {host.log}")
    assert host.show("MainPID", name) == process
    host.control("stop", name)
    assert [host.show(key, name) for key in ("ActiveState", "Result")] == ["inactive", "success"]
    targets.write_text("to = 1\n")
    host.control("start", name)
    host.waitFor("ActiveState", "failed", name)
    told = [host.show(key, name) for key in ("ExecMainStatus", "NRestarts")]
    assert told == ["2", "0"], host.log


@pytest.mark.slow
def test_activation(host: Host) -> None:
    """
    The first client starts the service, and is answered from the address that was
    asked.
    """
    host.control("stop", "echotwist.service")  # if another test's client has started it
    assert host.show("ActiveState") == "inactive"
    host.python(ASK)
    host.waitFor("ActiveState", "active")


@pytest.mark.slow
def test_sandbox(host: Host) -> None:
    """
    The service is nobody, has no capability, and a network with nothing in it.
    """
    host.python(ASK)
    process = host.show("MainPID")
    status = host.enter("-a", "cat", f"/proc/{process}/status")
    assert not re.search(r"^Uid:.*\t0\b", status, re.MULTILINE)
    assert set(re.findall(r"^Cap\w+:\t(\w+)$", status, re.MULTILINE)) == {"0" * 16}
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    networks = [host.enter("-a", "readlink", f"/proc/{one}/ns/net") for one in (process, "1")]
    assert networks[0] != networks[1]


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_again(host: Host, signal: str) -> None:
    """
    Killed, or silent for longer than the watchdog allows, the service is started again,
    and clients that connect meanwhile are served.
    """
    host.python(ASK)
    before = int(host.show("NRestarts"))
    host.control("kill", "--kill-who=main", f"--signal={signal}", "echotwist.service")
    host.python(ASK)
    host.waitFor("NRestarts", str(before + 1))


@pytest.mark.slow
def test_stop(host: Host) -> None:
    """
    When it is stopped it ends well, and the next client starts it again.
    """
    host.python(ASK)
    host.control("stop", "echotwist.service")
    assert host.show("ActiveState") == "inactive"
    assert (host.show("Result"), host.show("ExecMainStatus")) == ("success", "0")
    host.python(ASK)
    host.waitFor("ActiveState", "active")


#: What is asked when a unit has been changed, and how the answers look.
ASK_CHANGED = {
    "ListenStream": """
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    with socket.socket(type=kind) as client:
        client.settimeout(20)
        client.connect(("127.0.0.9", 7))
        client.send(b"hello")
        assert client.recv(100) == b"hello"
""",
    "metrics": """
from urllib.request import urlopen
assert urlopen("http://127.0.0.1:9464/readyz", timeout=20).read() == b"ready\\n"
""",
    "ssl:": """
import socket, ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with context.wrap_socket(socket.create_connection(("127.0.0.1", 7777), 20)) as client:
    client.send(b"hello")
    assert client.recv(100) == b"hello"
""",
}


@pytest.fixture
def changed(host: Host, installed: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """
    A change that the documentation has, made there; but for places that are there.
    """
    keys, folder = installed / "keys", installed.parent / "change"
    if not keys.exists():
        keys.mkdir()
        key, _ = identity(keys)
        shutil.chown(key, group="adm")
        key.chmod(0o640)
    drop = dropIns()[request.param]
    drop.add(
        folder,
        ("192.0.2.1", "127.0.0.9"),
        ("ssl-cert", "adm"),
        ("/etc/ssl/private/echo.pem", f"{keys}/key.pem"),
        ("/etc/ssl/certs/echo.pem", f"{keys}/cert.pem"),
    )
    host.enter("-a", "cp", "-r", "/run/shared/change/.", UNITS)
    shutil.rmtree(folder)
    host.restart(drop.kind)
    yield request.param
    host.enter("-a", "rm", f"{UNITS}/echotwist.{drop.kind}.d/documented.conf")
    host.restart(drop.kind)


@pytest.mark.slow
@pytest.mark.parametrize("changed", CHANGES[1:], indirect=True)
def test_changed(host: Host, changed: str) -> None:
    """
    What the documentation has for other needs serves them, within the same walls.
    """
    host.control("start", "echotwist.service")  # if it did not run before
    host.python(ASK_CHANGED[changed])


# Kubernetes


def objects() -> dict[str, Any]:
    """
    Return the manifests by their kind.
    """
    text = (DEPLOY / "kubernetes.yaml").read_text("utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def pod() -> Any:
    """
    Return what the Deployment runs.
    """
    return objects()["Deployment"]["spec"]["template"]


def inPod() -> Any:
    """
    Return the one container of it.
    """
    [container] = pod()["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", ["1.30", ""])
def test_schemas(version: str) -> None:
    """
    The manifests are what the schemas of Kubernetes ask for, of the oldest
    version that they are for and of the newest.
    """
    words = ["--kubernetes-version", version] if version else []
    validate = tool("kubernetes-validate")
    done = run(validate, "--strict", *words, DEPLOY / "kubernetes.yaml")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" passed for resource ") == 4


def test_kinds() -> None:
    """
    There is all that it takes to run, to be found, to be kept and to be scaled.
    """
    kinds = {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    assert set(objects()) == kinds


def test_references() -> None:
    """
    What points to the pods finds them.
    """
    deployment, spec = objects()["Deployment"], pod()["spec"]
    labels = pod()["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert objects()["Service"]["spec"]["selector"] == labels
    assert objects()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    for constraint in spec["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == labels
    target = objects()["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    names = {key: deployment[key] for key in ("apiVersion", "kind")}
    assert target == {**names, "name": deployment["metadata"]["name"]}


def test_ports(image: Image) -> None:
    """
    TCP and UDP are on one port of the Service, and lead to the port that the
    image listens on; the probes ask where the numbers are.
    """
    inside = {port["name"]: (port["containerPort"], port["protocol"]) for port in inPod()["ports"]}
    ports = objects()["Service"]["spec"]["ports"]
    assert len({port["port"] for port in ports}) == 1
    led = {(*inside[port["targetPort"]], port["protocol"]) for port in ports}
    settings = settingsOf(image.entry + inPod()["args"])
    assert led == {(settings.port, "TCP", "TCP"), (settings.port, "UDP", "UDP")}
    for probe in ("readinessProbe", "livenessProbe"):
        where, _ = inside[inPod()[probe]["httpGet"]["port"]]
        assert settings.metrics == f"tcp:{where}"
    assert pod()["metadata"]["annotations"]["prometheus.io/port"] == str(where)


def test_replicas() -> None:
    """
    There are several, one may go at a time, and only the autoscaler says how many.
    """
    scaler = objects()["HorizontalPodAutoscaler"]["spec"]
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in objects()["Deployment"]["spec"]
    assert objects()["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert inPod()["resources"]["requests"]["cpu"]


def test_grace(image: Image) -> None:
    """
    There is time for the Service to forget a replica, for its drain, and some more.
    """
    before = inPod()["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = settingsOf(image.entry + inPod()["args"]).drain
    assert before >= 5
    assert pod()["spec"]["terminationGracePeriodSeconds"] >= before + drain + END + 5


def test_unprivileged(image: Image) -> None:
    """
    A pod is the image's user, and may do nothing that it need not.
    """
    everyone, own = pod()["spec"]["securityContext"], inPod()["securityContext"]
    assert image.all("USER") == [f"{everyone['runAsUser']}:{everyone['runAsGroup']}"]
    assert everyone["runAsNonRoot"] and own["readOnlyRootFilesystem"]
    assert everyone["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not (own["allowPrivilegeEscalation"] or own["privileged"])
    assert not pod()["spec"]["automountServiceAccountToken"]


def test_clients() -> None:
    """
    The replicas see the clients' addresses, and any replica answers any datagram.
    """
    service = objects()["Service"]["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    assert service["sessionAffinity"] == "None"


def test_tag() -> None:
    """
    The manifests are for this version.
    """
    [version] = re.findall(
        r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert inPod()["image"] == f"echotwist:{version}"


# The manual pages

#: Each with the options that it lists.
PAGES: dict[str, list[type[usage.Options]]] = {
    "echotwist.8": [Options],
    "echoprobe.1": [
        PingOptions,
        LoadOptions,
        DoctorOptions,
        IdleOptions,
        ExplainOptions,
        MtuOptions,
        PathsOptions,
        WatchOptions,
    ],
}


def shown(page: Path) -> str:
    """
    Return what a reader of a manual page sees; there must be no fault in it.
    """
    words = ["-ww", "-man", "-Tascii", "-P-cbou", *WIDE]
    done = subprocess.run(
        [tool("groff"), *words, page], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stderr == ""
    return str(done.stdout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The manual pages, as the documentation makes them now.
    """
    folder = tmp_path_factory.mktemp("man")
    words = ["-m", "sphinx", "-q", "-W", "-b", "man", "-d"]
    done = run(sys.executable, *words, folder / "doctrees", ROOT / "docs", folder)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_current(made: Path, page: str) -> None:
    """
    A manual page says what the documentation says now.
    """
    assert shown(DEPLOY / page) == shown(made / page), "make it again: see CONTRIBUTING.rst"


@pytest.mark.parametrize(
    ("name", "made"), [(name, made) for name, all in PAGES.items() for made in all]
)
def test_options(name: str, made: type[usage.Options]) -> None:
    """
    Each option is in the manual page, with its default.
    """
    options, page = made(), " ".join(shown(DEPLOY / name).split())
    for option in options.longOpt:
        assert f" --{option}" in page
        default = options.defaults.get(option.removesuffix("="))
        text = " ".join(options.docs[option.removesuffix("=")].split())
        written = (
            f"{text} [default: {default}]" if option[-1] == "=" and default is not None else text
        )
        assert written in page


def test_sections() -> None:
    """
    It has the sections that a manual page of a service has.
    """
    found = re.findall(r"^[A-Z][A-Z ]+$", shown(DEPLOY / "echotwist.8"), re.MULTILINE)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SIGNALS", "EXIT STATUS", "FILES"]
    wanted += ["EXAMPLES", "SECURITY", "SEE ALSO"]
    assert [name for name in found if name in wanted] == wanted


def test_page() -> None:
    """
    The pages about it name files that are there.
    """
    pages = [page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.rst")]
    named = set(re.findall(r"\bdeploy/([\w.]+\w)", "".join(pages)))
    assert named >= {"Containerfile", "kubernetes.yaml", "echotwist.service", "echotwist.socket"}
    assert not [name for name in named if not (DEPLOY / name).exists()]
