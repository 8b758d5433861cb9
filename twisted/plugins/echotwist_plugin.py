"""
What ``twistd`` reads to learn that there is an ``echo`` command.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

echo = ServiceMaker(
    "echotwist",
    "echotwist.tap",
    "The echo service (RFC 862) over TCP and UDP.",
    "echo",
)

lean = Reactor(
    "lean",
    "echotwist.fast.reactor",
    "epoll(7) with less to do for each event, on Linux.",
)
