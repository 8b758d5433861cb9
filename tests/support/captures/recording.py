"""
A capture, made and drawn.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.captures.drawing import drawn
from tests.support.captures.packets import read
from tests.support.captures.scenes import END, PORT, SCENES, Stage
from tests.support.live import PATIENCE, ours, waitUntil
from tests.support.namespaces import WIRE, Namespace, pair
from tests.support.peers import needed

#: Bytes of each packet that are kept: all headers, and the beginning of what it carries.
_KEPT = 96


def record(name: str, folder: Path) -> Path:
    """
    Make one capture.

    :param folder: for all that is needed on the way.
    :return: a file of packets, which count time from the first.
    """
    scene = SCENES[name]
    seen, kept = folder / "all.pcap", folder / f"{name}.pcap"
    with pair() as hosts:
        for host in hosts:
            # What is captured is what is on the wire: sizes, and right checksums.
            offloads = [word for name in ("tx", "tso", "gso", "gro") for word in (name, "off")]
            host.execute("ethtool", "-K", WIRE, *offloads)
        scene.prepare(hosts)
        with hosts.near.inside():
            server = ours(folder, *scene.options, waysIn=[f"--port={PORT}"])
        with server, _capturing(hosts.far, seen):
            stage = Stage(hosts, server, seen)
            scene.play(stage)
            stage.end()
    _keep(seen, kept)
    return kept


def drawing(name: str, capture: Path) -> str:
    """
    Draw one capture.
    """
    return drawn(SCENES[name].title, SCENES[name].names, read(capture))


@contextmanager
def _capturing(where: Namespace, file: Path) -> Iterator[None]:
    program = needed("tcpdump")
    words = f"{program} -i {WIRE} --immediate-mode -s {_KEPT} -U -Z root -w {file} ip"
    with where.inside():
        process = subprocess.Popen(words.split(), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"listening" not in (line := process.stderr.readline()):
            assert line, "tcpdump does not start"
        waitUntil(lambda: file.exists() and file.stat().st_size > 0, "tcpdump writes")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _keep(seen: Path, kept: Path) -> None:
    # Copy until the end, as if it began when the clock did.
    from scapy.utils import RawPcapReader, RawPcapWriter

    with (
        RawPcapReader(str(seen)) as packets,
        RawPcapWriter(str(kept), linktype=1, endianness="<") as copy,
    ):
        copy.write_header(None)
        start = None
        for data, times in packets:
            if data.endswith(END):
                return
            at = times.sec * 10**6 + times.usec
            start = start or at
            copy.write_packet(data, sec=(at - start) // 10**6, usec=(at - start) % 10**6)
