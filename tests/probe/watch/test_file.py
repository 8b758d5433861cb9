"""
Files that name what is to be watched.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from echotwist.probe.places import ProbeError
from echotwist.probe.watch.file import Entry, entriesIn
from echotwist.probe.watch.settings import WatchSettings

ONE = "[[target]]\nto = 'udp:192.0.2.1'\n"


def read(tmp_path: Path, text: str | bytes, settings: WatchSettings | None = None) -> list[Entry]:
    """
    Read a file that has a text.
    """
    path = tmp_path / "targets.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return entriesIn(str(path), settings or WatchSettings())


def test_nearest(tmp_path: Path) -> None:
    """
    What is said nearest to a target counts: in its table, in the file, on the command line.
    """
    entries = read(
        tmp_path,
        """
        rate = 5
        timeout = 3
        fail-if = "loss>1%"
        [[target]]
        to = "udp:192.0.2.1"
        [[target]]
        to = "tcp:[2001:db8::1]:1234"
        name = "six"
        interval = 0.5
        fail-if = ["p99>5ms", "loss>5%"]
        dscp = "ef"
        hop-limit = 3
        payload = "zeros"
        """,
        WatchSettings(timeout=9, size=100),
    )
    assert [entry.name for entry in entries] == ["udp:192.0.2.1:7", "six"]
    one, two = (entry.settings for entry in entries)
    assert (one.rate, one.interval, one.timeout, one.size, one.dscp) == (5, None, 3, 100, None)
    assert (two.rate, two.interval, two.timeout, two.size, two.dscp) == (None, 0.5, 3, 100, 46)
    assert (one.failIf, two.failIf) == (("loss>1%",), ("p99>5ms", "loss>5%"))
    assert (two.hopLimit, two.payload) == (3, b"zeros")


def test_both(tmp_path: Path) -> None:
    """
    HOST:PORT alone is UDP and TCP, also of a target that has a name.
    """
    entries = read(tmp_path, "[[target]]\nto='localhost:9'\nname='here'\n[[target]]\nto='::1'")
    names = ["here udp", "here tcp", "udp:[::1]:7", "tcp:[::1]:7"]
    assert [entry.name for entry in entries] == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no targets"),
        ("target = 3", "target: write each target as a table of its own"),
        ("target = ['udp:192.0.2.1']", "target: write each target as a table of its own"),
        ("[target]\nto='udp:192.0.2.1'", "target: write each target as a table of its own"),
        ("[[target]]\nname='a'", "a: it has no string 'to'"),
        ("[[target]]", "target 1: it has no string 'to'"),
        ("[[target]]\nto=7", "7: it has no string 'to'"),
        ("[[target]]\nto='udp:'", "udp:: no host"),
        ("[[target]]\nto='udp:h:0'\nname='a'", "a: udp:h:0: the port is not"),
        ("[[target]]\nto='udp:h'\nname=3", "3: its name is not a string"),
        ("[[target]]\nto='udp:h'\nname=''", "its name is not a string"),
        (f"{ONE}{ONE}", "udp:192.0.2.1:7: two targets have this name"),
        (f"{ONE}name='a'\n{ONE}name='a'", "a: two targets have this name"),
        (f"{ONE}speed = 3", "speed: unknown key; the keys are to, name, "),
        (f"speed = 3\n{ONE}", "speed: unknown"),
        (f"{ONE}count = 3", "count: unknown"),
        (f"{ONE}metrics = 'tcp:1'", "metrics: unknown"),
        (f"{ONE}rate = 0", "rate 0: not a number from 0.000001 to 100,000"),
        (f"{ONE}rate = true", "rate: true and false are no values; it takes number"),
        (f"{ONE}rate = nan", "rate nan: not a number from"),
        (f"{ONE}rate = []", "rate []: not a number from"),
        (f"{ONE}rate = 1e-300", "rate 1e-300: not a number from"),
        (f"{ONE}rate = 100000\ntimeout = 1e6", "timeout 1e+06: over 4,194,304 probes under way"),
        (f'{ONE}ca = "a\\u0000"', "ca 'a\\x00': it has a NUL"),
        (f'{ONE}name = "a\\nb"', "name 'a\\nb': not all of it can be printed"),
        ('[[target]]\nto="unix:/a\\u001b"', "to 'unix:/a\\x1b': not all of it can be printed"),
        (f"{ONE}rate = 1\ninterval = 1", "--rate and --interval do not go together"),
        (f"{ONE}timeout = 0", "timeout 0: every reply would be late"),
        (f"{ONE}timeout = 1979-05-27", "timeout 1979-05-27: not a time"),
        (f"{ONE}size = 1.5", "size 1.5: not a whole number"),
        (f"{ONE}size = {{}}", "size {}: not a whole number"),
        (f"{ONE}insecure = 1", "insecure 1: not of type bool"),
        (f"{ONE}payload = 5", "payload 5: not of type bytes"),
        (f"{ONE}fail-if = 3", "fail-if 3: not a list of strings"),
        (f"{ONE}fail-if = ['speed>3']", "fail-if 'speed>3': speed is not measured"),
        (f"{ONE}payload = '@/nowhere'", "payload @/nowhere: No such file"),
        ("to = ", "not valid TOML: "),
        ("[[target]]\nto='a'\nto='b'", "not valid TOML: "),
        (f"a = {'[' * 5000}", "not valid TOML: "),
        (b"\xff", "not UTF-8, from byte 0 on: no list of targets"),
        (b"\x7fELF\x02\x01\x01\0", "not valid TOML: "),
    ],
)
def test_mistakes(tmp_path: Path, text: str | bytes, said: str) -> None:
    """
    A mistake is told in one line, with the file and the value that was wrong.
    """
    with pytest.raises(ProbeError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/targets.toml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_mark(tmp_path: Path) -> None:
    """
    A file may begin with a byte order mark, which some editors write.
    """
    [entry] = read(tmp_path, f"\ufeff{ONE}")
    assert entry.name == "udp:192.0.2.1:7"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/nowhere", "/nowhere: No such file or directory (errno 2)"),
        ("/", "/: Is a directory (errno 21)"),
        ("/dev/zero", "/dev/zero: more than 16 MiB: no list of targets"),
        ("a\0b", "no path"),
    ],
)
def test_unreadable(path: str, said: str) -> None:
    """
    So is a file that cannot be read.
    """
    with pytest.raises(ProbeError) as caught:
        entriesIn(path, WatchSettings())
    assert said in str(caught.value)
