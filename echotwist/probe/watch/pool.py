"""
Choose the UDP socket of each target of a watch.
"""

from __future__ import annotations

from echotwist.probe.dialing import opened
from echotwist.probe.places import Place, Way
from echotwist.probe.target import Target
from echotwist.probe.watch.sharing import Lane, SharedDatagrams
from echotwist.probe.watch.wheel import Wheel
from echotwist.reactors import IReactor


class Sockets:
    """
    The UDP sockets of all targets.  Targets of the same family and the same way out of this
    host share a socket, unless two of them have the same address.

    :param reactor: waits.
    :param wheel: wakes the sockets up.
    """

    def __init__(self, reactor: IReactor, wheel: Wheel) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._open: dict[tuple[int, Way], list[SharedDatagrams]] = {}
        self._dropped = self._strangers = 0  # Of closed sockets.

    def lane(self, target: Target, place: Place, way: Way, stamped: int) -> Lane:
        """
        Return a lane to a target.

        :param stamped: for how many of its probes to keep kernel timestamps.
        :raise ProbeError: no socket can be opened.
        """
        alike = self._open.setdefault((place.family, way), [])
        shared = next((one for one in alike if not one.has(place.address)), None)
        if shared is None:
            one = opened(target, place, way, isConnected=False)
            shared = SharedDatagrams(self._reactor, one, self._wheel)
            alike.append(shared)
        return Lane(shared, place.address, stamped, self._left)

    def _left(self, shared: SharedDatagrams) -> None:
        """
        Close a socket without targets.
        """
        if shared.isEmpty:
            for alike in self._open.values():
                if shared in alike:
                    alike.remove(shared)
                    self._dropped += shared.dropped
                    self._strangers += shared.strangers
                    shared.stop()

    @property
    def dropped(self) -> int:
        """
        How many received packets the kernel dropped for lack of room.
        """
        return self._dropped + sum(one.dropped for one in self.all)

    @property
    def strangers(self) -> int:
        """
        How many packets came from no target.
        """
        return self._strangers + sum(one.strangers for one in self.all)

    @property
    def all(self) -> list[SharedDatagrams]:
        """
        Return the open sockets.
        """
        return [one for alike in self._open.values() for one in alike]
