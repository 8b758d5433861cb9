"""
What the pages say how to do can be done so.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from tests.support.live import BIN, PATIENCE, ROOT, Server, freePort, waitUntil
from tests.support.peers import needed
from tests.support.transcripts import transcripts

HOWTO = ROOT / "docs" / "howto"

LOCAL = "127.0.0.1"


def blocks(page: str, language: str) -> list[str]:
    """
    Return the blocks of a page that are in some language.
    """
    text = (HOWTO / page).read_text("utf-8")
    found = re.findall(rf"code-block:: {language}\n\n((?: {{4}}.*\n|\n)+)", text)
    return [dedent(block) for block in found]


def asks(stream: socket.socket) -> bytes:
    """
    Send a word and wait for it.
    """
    stream.sendall(b"hello")
    stream.settimeout(PATIENCE)
    return stream.recv(100)


@contextmanager
def proxied(page: str, folder: Path, changes: dict[str, str]) -> Iterator[int]:
    """
    Run HAProxy with the configuration of a page.

    :param changes: what is elsewhere here.
    :return: the port where it listens, in place of the page's.
    """
    [text] = blocks(page, "text")
    port = freePort()
    text = re.sub(r"bind :\d+", f"bind {LOCAL}:{port}", text)
    for words, others in changes.items():
        assert words in text
        text = text.replace(words, others)
    (folder / "haproxy.cfg").write_text(text)
    proxy = subprocess.Popen([needed("haproxy"), "-f", folder / "haproxy.cfg"])
    try:
        waitUntil(lambda: connects(port), "HAProxy listens")
        yield port
    finally:
        proxy.terminate()
        proxy.wait()


def connects(port: int) -> bool:
    """
    Tell whether anybody listens there.
    """
    with suppress(ConnectionRefusedError), socket.create_connection((LOCAL, port)):
        return True
    return False


def signed(folder: Path, name: str, authority: str = "") -> None:
    """
    Make a key and its certificate, signed by itself or by another one.
    """
    by = f"-CA {authority}.pem -CAkey {authority}-key.pem" if authority else ""
    for command in [
        f"openssl req -new -newkey rsa:2048 -nodes -keyout {name}-key.pem -out {name}.csr"
        f" -subj /CN={name}",
        f"openssl x509 -req -in {name}.csr -out {name}.pem -days 2 -set_serial 1 "
        + (by or f"-signkey {name}-key.pem"),
    ]:
        subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
def test_mutualTLS(tmp_path: Path) -> None:
    """
    With the configuration of the page, a client with a certificate is served, and one
    without is not.
    """
    signed(tmp_path, "localhost")
    signed(tmp_path, "clients")
    signed(tmp_path, "me", "clients")
    both = (tmp_path / "localhost.pem").read_text() + (tmp_path / "localhost-key.pem").read_text()
    (tmp_path / "echo.pem").write_text(both)
    place = tmp_path / "echo.sock"
    command: list[str | Path] = [
        BIN / "twistd",
        "-n",
        "--pidfile=",
        "echo",
        "--listen",
        f"haproxy:unix:{place}",
    ]
    changes = {"/etc/haproxy": str(tmp_path), "/run/echo.sock": str(place)}
    with Server(command, tmp_path), proxied("tls.rst", tmp_path, changes) as port:
        context = ssl.create_default_context(cafile=tmp_path / "localhost.pem")
        with (
            socket.create_connection((LOCAL, port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stream,
            pytest.raises(OSError, match=r"certificate required|reset|Broken pipe"),
        ):
            asks(stream)
        context.load_cert_chain(tmp_path / "me.pem", tmp_path / "me-key.pem")
        with (
            socket.create_connection((LOCAL, port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            assert asks(stream) == b"hello"


@pytest.mark.slow
def test_haproxy(tmp_path: Path) -> None:
    """
    With the configuration of the page, the log names the client of the proxy.
    """
    words: list[str | Path] = [BIN / "twistd", "-n", "--pidfile=", "echo", "-v"]
    own = freePort()
    endpoint = f"haproxy:tcp:{own}:interface={LOCAL}"
    with (
        Server([*words, "--listen", endpoint], tmp_path) as server,
        proxied("haproxy.rst", tmp_path, {"127.0.0.1:1234": f"{LOCAL}:{own}"}) as port,
        socket.create_connection((LOCAL, port), source_address=("127.0.0.9", 0)) as client,
    ):
        number = client.getsockname()[1]
        assert asks(client) == b"hello"
        client.shutdown(socket.SHUT_WR)
        server.waitFor(rf"TCP 127\.0\.0\.9:{number} closed: 5 bytes")


@pytest.mark.slow
def test_json(tmp_path: Path) -> None:
    """
    Both ways of the page give an object for each event, with its fields.
    """
    [observer] = blocks("logs.rst", "python")
    (tmp_path / "jsonlog.py").write_text(observer)
    commands = dict(transcripts(HOWTO / "logs.rst"))
    for command in commands:
        if "echo --port" not in command:
            continue
        words = shlex.split(command.replace("1234", "0").replace("venv/bin", str(BIN)))
        words = [word for word in words if not word.startswith("--log-file")]
        words += [] if "--verbose" in words else ["--verbose"]
        with Server(["env", *words], tmp_path) as server:
            with socket.create_connection((LOCAL, portOf(server))) as client:
                assert asks(client) == b"hello"
            server.waitFor(r"bytes in .* s\"")
            events = [
                json.loads(line.lstrip("\x1e")) for line in server.lines if '"log_time"' in line
            ]
        [closed] = [event for event in events if event.get("bytes") == 5]
        assert closed["transport"] == "TCP"
        assert closed["peer"].startswith(LOCAL)


def portOf(server: Server) -> int:
    """
    Find the port in an event.
    """
    return int(server.waitFor(r"TCP \[::\]:(\d+)")[1])


@pytest.mark.slow
def test_library(tmp_path: Path) -> None:
    """
    The program of the page echoes.
    """
    [program] = blocks("library.rst", "python")
    port = freePort()
    (tmp_path / "program.py").write_text(program.replace("1234", str(port)))
    process = subprocess.Popen([sys.executable, tmp_path / "program.py"])
    try:
        waitUntil(lambda: connects(port), "the program listens")
        with socket.create_connection((LOCAL, port)) as client:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"You said : hello\n"
    finally:
        process.terminate()
        process.wait()


def test_yaml() -> None:
    """
    The configuration of Prometheus is YAML, and its rules use metrics that there are.
    """
    scrape, rules = (yaml.safe_load(text) for text in blocks("metrics.rst", "yaml"))
    assert scrape["scrape_configs"][0]["static_configs"][0]["targets"] == ["localhost:9464"]
    used = {
        name
        for rule in rules["groups"][0]["rules"]
        for name in re.findall(r"echotwist_\w+", rule["expr"])
    }
    source = (ROOT / "echotwist" / "monitoring" / "metrics.py").read_text()
    assert used
    for name in used:
        assert re.sub("^echotwist_|_total$", "", name) in source
