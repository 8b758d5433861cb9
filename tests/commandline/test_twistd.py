"""
The options of ``twistd`` itself, looked at before it does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.application.twist._options import TwistOptions
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from echotwist import Options
from echotwist.commandline import twistd

_ALL = {twistd.SETGID, twistd.SETUID, twistd.CHROOT}


class TwistdTests(SynchronousTestCase):
    """
    Tests for :func:`echotwist.commandline.twistd.checkTwistd`.
    """

    def setUp(self) -> None:
        """
        Say what this process may do, and keep its user out of it.
        """
        self.may = set(_ALL)
        self.patch(twistd, "_may", lambda capability: capability in self.may)

    def mistake(self, **options: Any) -> str:
        """
        Return what is said of some options; nothing if they will do.
        """
        chosen = {"pidfile": "", "nodaemon": False, **options}
        try:
            twistd.checkTwistd(chosen)
        except ValueError as error:
            return str(error)
        return ""

    def test_right(self) -> None:
        """
        What can work is left alone.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "old.log").touch()
        for options in (
            {},
            {"logfile": f"{folder}/new.log", "rundir": str(folder), "pidfile": f"{folder}/pid"},
            {"logfile": f"{folder}/old.log"},
            {"logfile": "-"},
            {"logfile": "/nonexistent/log", "syslog": True},
            {"logfile": "/nonexistent/log", "logger": object()},
            {"uid": os.getuid(), "gid": os.getgid()},
            {"uid": 0, "gid": 0},
        ):
            self.assertEqual(self.mistake(**options), "")
        self.assertEqual(list(folder.iterdir()), [folder / "old.log"])
        twistd.checkTwistd({"reactor": "of twist"})

    def test_files(self) -> None:
        """
        A file that cannot be written is named, with the reason.
        """
        here = os.getcwd()
        Path("file").touch()
        os.mkfifo("pipe")
        self.assertIn("pipe: Illegal seek (errno 29)", self.mistake(logfile="pipe"))
        for option in ("logfile", "pidfile"):
            for name, reason in [
                ("/nonexistent/x", "/nonexistent/x: No such file or directory (errno 2)"),
                (".", f"{here}: Is a directory (errno 21)"),
                ("file/x", f"{here}/file/x: Not a directory (errno 20)"),
                ("/proc/self/x", "/proc/self/x: Permission denied (errno 13)"),
            ]:
                self.assertEqual(self.mistake(**{option: name}), f"--{option} {reason}")
        for option in ("rundir", "chroot"):
            for name, reason in [
                ("/nonexistent", "No such file or directory (errno 2)"),
                ("file", "Not a directory (errno 20)"),
            ]:
                self.assertEqual(self.mistake(**{option: name}), f"--{option} {name}: {reason}")

    def test_here(self) -> None:
        """
        So is the folder where a daemon would leave its log, if we may not write there.
        """
        self.patch(os, "access", lambda name, mode: name != os.getcwd() or mode == os.X_OK)
        said = self.mistake()
        self.assertEqual(said, f"--logfile {os.getcwd()}/twistd.log: Permission denied (errno 13)")
        said = self.mistake(nodaemon=True, pidfile="twistd.pid")
        self.assertEqual(said, f"--pidfile {os.getcwd()}/twistd.pid: Permission denied (errno 13)")
        self.assertEqual(self.mistake(nodaemon=True), "")

    def test_user(self) -> None:
        """
        A user that we cannot become is named.
        """
        self.assertIn("--uid 98765: /etc/passwd has nobody", self.mistake(uid=98765))
        self.may -= {twistd.SETUID}
        self.assertIn("--uid 98765: only root may change that", self.mistake(uid=98765, gid=1))
        self.may -= {twistd.SETGID}
        self.assertIn("--gid 98765: only root may change that", self.mistake(gid=98765))

    def test_chroot(self) -> None:
        """
        A folder for ``--chroot`` must have what Twisted looks for there.
        """
        root = Path(self.mktemp())
        root.mkdir()
        self.assertEqual(self.mistake(chroot=str(root), nodaemon=True), "")
        self.assertIn(f"{root}: it has no dev/null", self.mistake(chroot=str(root)))
        options = {"chroot": str(root), "nodaemon": True, "uid": 98765}
        self.assertIn(f"{root}/etc/passwd has nobody", self.mistake(**options))
        (root / "etc").mkdir()
        (root / "etc" / "passwd").write_text("me:x:98765:1::/:/bin/false\n")
        self.assertEqual(self.mistake(**options), "")
        said = self.mistake(**options, pidfile="pid")
        self.assertIn(f"--pidfile {root.resolve()}{os.getcwd()}/pid: No such file", said)
        self.may -= {twistd.CHROOT}
        self.assertIn("only root may do that", self.mistake(**options))

    def test_late(self) -> None:
        """
        An option of the program's own that comes after ``echo`` is told to go before it.
        """
        for parent, word, said in [
            (ServerOptions(), "-n", "-n is an option of twistd: it goes before echo"),
            (ServerOptions(), "--pidfile=", "--pidfile is an option of twistd: it goes"),
            (ServerOptions(), "-lx", "-l is an option of twistd: it goes"),
            (TwistOptions(), "--log-level=info", "--log-level is an option of twist: it goes"),
            (ServerOptions(), "--nonsense", "option --nonsense not recognized"),
            (ServerOptions(), "-z", "option -z not recognized"),
        ]:
            options = Options()
            options.parent = parent
            error = self.assertRaises(SystemExit, options.parseOptions, [word])
            self.assertIn(said, str(error.code))
