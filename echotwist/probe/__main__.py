"""
``python -m echotwist.probe``: the same as ``echoprobe``.

It imports nothing before ^C ends the program without a traceback.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """
    Run the program, with the command line of this process.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from echotwist.probe.command import main

    main()


def _interrupted(number: int, frame: object) -> None:
    """
    End at once: the measurement has not begun.
    """
    os._exit(128 + number)


if __name__ == "__main__":
    main()
