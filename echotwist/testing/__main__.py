"""
``python -m echotwist.testing``: the service, until its standard input ends: that of a
process which nobody had time to stop does so, too.
"""

from __future__ import annotations

import os
import runpy
import signal
from threading import Thread


def watch() -> None:
    """
    Wait for the end.
    """
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=watch, daemon=True).start()
    runpy.run_module("echotwist", run_name="__main__", alter_sys=True)
