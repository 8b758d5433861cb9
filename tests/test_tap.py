"""
The command line.
"""

from __future__ import annotations

import ast
import os
import re
import socket
from io import BytesIO
from pathlib import Path
from typing import Any

from attrs import fields
from hypothesis import given, strategies
from twisted.application.service import IService, IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import echotwist
from echotwist import EchoService, Options, Settings, makeService
from echotwist.commandline.declaration import optionsOf


def parsed(*words: str) -> Settings:
    """
    Return the settings that a command line means.
    """
    options = Options()
    options.parseOptions(words)
    return options.settings


class OptionsTests(SynchronousTestCase):
    """
    Tests for :class:`Options`.
    """

    def test_defaults(self) -> None:
        """
        Without options the command line gives the default settings.
        """
        self.assertEqual(parsed(), Settings())
        self.assertEqual(Settings().port, 1234)
        self.assertEqual(Settings().backlog, 1024)
        self.assertEqual(Settings().prefix, b"")

    def test_all(self) -> None:
        """
        Each option reaches its setting.
        """
        words = ["--port", "7", "--interface", "127.0.0.1", "--interface", "::1", "--reuse"]
        words += ["--impair", "loss=1%,seed=7", "--impair=delay=1ms"]
        words += [
            "--loop-rate",
            "5",
            "--no-udp",
            "--prefix",
            "You said : ",
            "--linger",
            "0",
            "--backlog",
            "5",
        ]
        expected = Settings(
            port=7,
            interfaces=["127.0.0.1", "::1"],
            reuse=True,
            loopRate=5,
            udp=False,
            prefix=b"You said : ",
            linger=0,
            backlog=5,
            impair=["loss=1%,seed=7", "delay=1ms"],
            verbose=True,
        )
        self.assertEqual(parsed(*words, "--verbose"), expected)

    def test_short(self) -> None:
        """
        Frequent options have a letter.
        """
        expected = Settings(port=7, interfaces=["::1"], reuse=True, verbose=True)
        self.assertEqual(parsed("-p7", "-i", "::1", "-rv"), expected)

    def test_bytes(self) -> None:
        """
        A prefix is UTF-8, or whatever bytes the shell passed.
        """
        self.assertEqual(parsed("--prefix", "é").prefix, b"\xc3\xa9")
        self.assertEqual(parsed("--prefix", os.fsdecode(b"\xff")).prefix, b"\xff")

    def mistake(self, *words: str) -> str:
        """
        Return what is said of a command line that is wrong.
        """
        said = str(self.assertRaises(UsageError, parsed, *words))
        self.assertEqual(len(said.splitlines()), 1, said)
        return said

    def test_ranges(self) -> None:
        """
        A number out of range is named, with its option and the range.
        """
        for option, wrong, bounds in [
            ("--port", "65536", "from 0 to 65535"),
            ("--port", "-1", "from 0 to 65535"),
            ("--port", "echo", "from 0 to 65535"),
            ("--port", "1_0", "from 0 to 65535"),
            ("--port", "", "from 0 to 65535"),
            ("--linger", "1.5", "from 0 to 32767"),
            ("--backlog", "0", "from 1 to 65535"),
            ("--port", "9" * 5000, "from 0 to 65535"),
            ("--drain", "1e9", "from 0 to 2000000 seconds"),
            ("--stall-timeout", "-1", "from 0 to 2000000 seconds"),
        ]:
            said = self.mistake(f"{option}={wrong}")
            self.assertIn(f"{option} {wrong}: ", said)
            self.assertIn(bounds, said)

    @given(strategies.integers(-(10**6), 10**6))
    def test_port(self, number: int) -> None:
        """
        Only numbers that a port can have are accepted.
        """
        try:
            self.assertEqual(parsed(f"--port={number}").port, number)
            taken = True
        except UsageError:
            taken = False
        self.assertEqual(taken, 0 <= number <= 65535)

    def test_networks(self) -> None:
        """
        Networks are kept as they were written; text that is none is named in the error.
        """
        settings = parsed("--allow=10.0.0.0/8", "--deny=10.1.0.0/16", "--allow=::1")
        self.assertEqual(settings, Settings(allow=["10.0.0.0/8", "::1"], deny="10.1.0.0/16"))
        self.assertIn("--allow 10.0.0.0/33: not an", self.mistake("--allow=10.0.0.0/33"))
        self.assertIn("--deny lo: not an address", self.mistake("--deny=lo"))

    def test_networksOfNobody(self) -> None:
        """
        Where no peer has an address, networks are an error; behind a proxy each peer
        has one.
        """
        for words in (["--listen=unix:echo"], ["--unix-datagram=@echo"]):
            self.assertIn("UNIX socket", self.mistake("--allow=::1", *words))
            self.assertIn("UNIX socket", self.mistake("--deny=::1", *words))
            parsed("--allow=::1", "--port=0", *words)
        for words in (["--listen=haproxy:unix:echo"], ["--listen=tcp:0"], ["--raw=253"]):
            parsed("--allow=::1", *words)

    def test_nothing(self) -> None:
        """
        To serve neither TCP nor UDP is an error.
        """
        self.assertIn("nothing to serve", self.mistake("--no-tcp", "--no-udp"))

    def test_unknownInterface(self) -> None:
        """
        An unknown interface is named, with the reason.
        """
        said = self.mistake("-i", "no-such-thing.invalid")
        self.assertIn("TCP and UDP no-such-thing.invalid:1234: ", said)
        self.assertIn("errno", said)
        self.mistake("-i", "")

    def test_noReusePort(self) -> None:
        """
        Where the system cannot share a port, it says so.
        """
        if hasattr(socket, "SO_REUSEPORT"):
            self.patch(socket, "SO_REUSEPORT", None)
            del socket.SO_REUSEPORT
        self.assertIn("no SO_REUSEPORT", self.mistake("--reuse"))

    def test_unknownOption(self) -> None:
        """
        So is an option that does not exist, and a word too much.
        """
        self.assertIn("--nonsense", self.mistake("--nonsense"))
        self.assertIn("nonsense: not an option", self.mistake("nonsense"))

    def test_commandLine(self) -> None:
        """
        Under ``twistd`` a mistake ends the program with one line.
        """
        options = Options()
        options.parent = Options()
        error = self.assertRaises(SystemExit, options.parseOptions, ["--port=x"])
        self.assertEqual(error.code, "echo: --port x: not a whole number from 0 to 65535")

    def test_help(self) -> None:
        """
        The help explains each option, on one screen.
        """
        lines = str(Options()).splitlines()
        self.assertLess(len(lines), 40)
        self.assertLess(max(map(len, lines)), 81)
        for name in Options().docs:
            self.assertIn(f"--{name}", str(Options()))

    def test_completion(self) -> None:
        """
        zsh completes each option.
        """
        options: Any = Options()
        options._shellCompFile = BytesIO()
        with self.assertRaises(SystemExit):
            options.parseOptions(["", "--_shell-completion", "zsh:2"])
        said = options._shellCompFile.getvalue().decode()
        for name in options.longOpt:
            self.assertIn(f"--{name}", said)
        parameters = {name.rstrip("=") for name in options.longOpt if name.endswith("=")}
        self.assertEqual(parameters, set(options.compData.optActions))

    def test_documented(self) -> None:
        """
        The page of options lists just the options that are declared, with their letters.
        """
        text = (Path(__file__).parent.parent / "docs/options.rst").read_text("utf-8")
        text, _, _ = text.partition("\nOptions of twistd\n")
        rows = re.findall(r"^(``--.*?``)  ", text, re.MULTILINE)
        listed = re.findall(r"``--?(.+?)``", " ".join(rows))
        declared = [
            word for _, option in optionsOf(Settings) for word in (option.name, option.short)
        ]
        lacking = set(filter(None, declared)) - set(listed)
        self.assertEqual(lacking, set(), "docs/options.rst has no row for these")
        self.assertEqual(sorted(listed), sorted(filter(None, declared)))


class SettingsTests(SynchronousTestCase):
    """
    Tests for :class:`Settings`.
    """

    def test_wrong(self) -> None:
        """
        Mistakes in a tac file are reported as well.
        """
        wrongs: list[dict[str, Any]] = [
            {"port": 65536},
            {"port": True},
            {"backlog": 0},
            {"linger": -1},
            {"tcp": False, "udp": False},
            {"reuse": "no"},
            {"prefix": "You said : "},
            {"drain": "10"},
            {"drain": float("nan")},
            {"allow": "10.0.0.0/33"},
            {"deny": ["::1", "lo"]},
            {"deny": "::1", "listen": "unix:echo"},
        ]
        for wrong in wrongs:
            said = str(self.assertRaises(ValueError, Settings, **wrong))
            self.assertLess(len(said), 100)
        self.assertRaises(TypeError, Settings, interfaces=[b"lo"])
        self.assertRaises(TypeError, Settings, allow=[10])

    def test_oneInterface(self) -> None:
        """
        One interface need not be in a list.
        """
        self.assertEqual(Settings(interfaces="lo").interfaces, ("lo",))


class TacTests(SynchronousTestCase):
    """
    Tests for ``deploy/echo.tac``.
    """

    def test_all(self) -> None:
        """
        It shows each setting, with its default.
        """
        text = (Path(__file__).parent.parent / "deploy" / "echo.tac").read_text()
        [call] = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Settings"
        ]
        shown = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        lacking = {field.name for field in fields(Settings)} - shown.keys()
        self.assertEqual(lacking, set(), "deploy/echo.tac does not show these")
        self.assertEqual(Settings(**shown), Settings())


class PluginTests(SynchronousTestCase):
    """
    Tests for what ``twistd`` finds.
    """

    def test_found(self) -> None:
        """
        There is one plugin called ``echo``, and it leads to this command line.
        """
        [plugin] = [found for found in getPlugins(IServiceMaker) if found.tapname == "echo"]
        self.assertTrue(verifyObject(IServiceMaker, plugin))
        self.assertIs(plugin.options, Options)
        self.assertIs(plugin.makeService, makeService)

    def test_service(self) -> None:
        """
        It makes a service, which has not opened anything yet.
        """
        options = Options()
        options.parseOptions(["--port=0"])
        service = makeService(options)
        self.assertTrue(verifyObject(IService, service))
        self.assertIsInstance(service, EchoService)
        self.assertEqual(service.settings.port, 0)
        self.assertEqual(service.ports, [])

    def test_public(self) -> None:
        """
        All public names can be imported.
        """
        for name in echotwist.__all__:
            self.assertTrue(hasattr(echotwist, name))
