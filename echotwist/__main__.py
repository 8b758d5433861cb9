"""
``python -m echotwist``: the service in the foreground, as ``twistd -n echo`` runs it.
"""

import sys

from twisted.scripts.twistd import run

from echotwist.tap import MODULE

if __name__ == "__main__":
    sys.argv[:] = [MODULE, "--nodaemon", "--pidfile=", "echo", *sys.argv[1:]]
    run()
