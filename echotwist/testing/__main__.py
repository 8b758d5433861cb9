"""
``python -m echotwist.testing``: the service, until its standard input ends.  That also
happens when the test's process dies, and so cannot stop the service.
"""

from __future__ import annotations

import os
import runpy
import signal
from threading import Thread


def watch() -> None:
    """
    Stop the service when standard input ends.
    """
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=watch, daemon=True).start()
    runpy.run_module("echotwist", run_name="__main__", alter_sys=True)
