"""
Stop a service while it has much to do.
"""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import psutil

from tests.support.live import PATIENCE, Server, figures, waitUntil
from tests.support.noise import noise
from tests.support.rules import MIB, offer
from tests.support.streams import Stream, connected


def stopped(server: Server, number: int = signal.SIGTERM) -> None:
    """
    Stop a server, and wait until it accepts nobody any more.
    """
    server.signal(number)
    start = time.monotonic()
    while True:
        try:
            connected(server.door).close()
        except (ConnectionError, FileNotFoundError):
            break
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.001)  # a full queue would drop the SYN, which comes again after 1 s
    figures.append(
        f"connects are refused {(time.monotonic() - start) * 1000:.0f} ms after the signal"
    )


def sendAtOnce(server: Server, *numbers: int) -> None:
    """
    Send signals of which it sees none before the last.
    """
    server.process.suspend()
    waitUntil(lambda: server.process.status() == psutil.STATUS_STOPPED, "it is stopped")
    for number in numbers:
        server.signal(number)
    server.process.resume()


def terminate(server: Server) -> None:
    """
    Send SIGTERM.
    """
    server.signal(signal.SIGTERM)


def halfWay(server: Server, stop: Callable[[Server], None], mebibytes: int = 64) -> None:
    """
    All of a stream that is stopped half-way comes back.
    """
    blocks = [noise(MIB, number) for number in range(16)] * (mebibytes // 16)
    got = hashlib.sha256()

    def send(stream: Stream) -> None:
        for number, block in enumerate(blocks):
            if number == len(blocks) // 2:
                stop(server)
            with suppress(OSError):  # which the reader tells as well
                stream.sendall(block)

    with connected(server.door) as stream:
        sender = Thread(target=send, args=(stream,))
        sender.start()
        for data in iter(lambda: stream.recv(MIB), b""):
            got.update(data)
        sender.join()
    assert got.digest() == hashlib.sha256(b"".join(blocks)).digest(), "bytes were lost"


def queued(server: Server, stop: Callable[[Server], None] = terminate) -> None:
    """
    All that was taken from a client that reads slowly comes back.
    """
    with connected(server.door) as stream:
        taken = offer(stream, 64 * MIB)
        stop(server)
        stream.settimeout(30)
        got = 0
        while data := stream.recv(256 * 1024):
            got += len(data)
            time.sleep(0.02)
    figures.append(f"{taken / MIB:.1f} MiB had been taken")
    assert got == taken, f"{taken - got} of {taken} bytes were lost"
