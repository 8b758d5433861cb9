"""
Make each system call of a running service fail, and see that it goes on.

``python -m tests.faults`` prints the matrix as a table.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support import rules
from tests.support.live import Server, ours
from tests.support.streams import connected

#: Each call with the errors that it can return, of those that are survived.
MATRIX = {
    "accept4": "EAGAIN EINTR ENOBUFS ENOMEM EIO EPERM EMFILE ENFILE EPROTO ECONNABORTED "
    "EHOSTUNREACH",
    "recvfrom": "EAGAIN EINTR ENOBUFS ENOMEM EIO EHOSTUNREACH",
    "sendto": "EAGAIN EINTR ENOBUFS ENOMEM EIO EPERM EHOSTUNREACH",
    "recvmsg": "EAGAIN EINTR ENOBUFS ENOMEM EIO EHOSTUNREACH",
    "sendmsg": "EAGAIN EINTR ENOBUFS ENOMEM EIO EPERM EHOSTUNREACH",
    "epoll_wait": "EINTR",
    "epoll_ctl": "ENOMEM ENOSPC EPERM",
    # Nothing is set on accepted connections: they inherit it all.
    "setsockopt": "ENOBUFS ENOMEM EPERM",
}

#: How many calls fail in a row.
TIMES = 3


def provoke(server: Server) -> None:
    """
    Speak to the service while its calls fail; no answer is expected.
    """
    for _ in range(2 * TIMES):
        try:
            with connected(server.port) as stream, rules.asking(server.port) as client:
                stream.settimeout(0.3)
                client.settimeout(0.3)
                client.send(b"hello")
                stream.sendall(b"hello")
                stream.recv(100)
                client.recv(100)
        except OSError:
            continue


def answersTCP(server: Server) -> bool:
    """
    Tell whether a stream is echoed, to its end.
    """
    try:
        rules.halfClose(server.port, 100_000, times=3)
    except AssertionError:
        return False
    return True


def answersUDP(server: Server) -> bool:
    """
    Tell whether a datagram is echoed.
    """
    try:
        rules.askedAddress(server.port, "127.0.0.2")
    except AssertionError:
        return False
    return True


def rows(folder: Path) -> Iterator[tuple[str, str, str, bool]]:
    """
    Return a line of the table for each call and error, and whether all is well.
    """
    for call, errors in MATRIX.items():
        with ours(folder) as server:
            rules.answers(server.port)
            for error in errors.split():
                said = len(server.lines)
                with rules.injected(server, call, error, TIMES):
                    provoke(server)
                tcp, udp = answersTCP(server), answersUDP(server)
                lines = [line.partition("]")[2] for line in server.lines[said:]]
                most = max(Counter(lines).values(), default=0)
                good = tcp and udp and most <= 1 and len(lines) <= 2
                result = f"TCP {'yes' if tcp else 'NO'}  UDP {'yes' if udp else 'NO'}  "
                yield call, error, result + f"{len(lines)} lines", good


def main() -> int:
    """
    Print the table.

    :return: how many of its lines are bad.
    """
    bad = 0
    print(f"{'call':<12}{'error':<14}answers afterwards; lines in the log")
    with tempfile.TemporaryDirectory() as folder:
        for call, error, result, good in rows(Path(folder)):
            print(f"{call:<12}{error:<14}{result}{'' if good else '  BAD'}", flush=True)
            bad += not good
    return bad


if __name__ == "__main__":
    sys.exit(main())
