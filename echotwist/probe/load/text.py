"""
The results of a load as text for a person (pure).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echotwist.probe.schedule import SECOND
from echotwist.probe.text import counts, damageLines, line, lossLines, replies, report, table

#: Bytes of a megabyte.
_MB = 10**6


def textOf(found: Mapping[str, Any]) -> str:
    """
    Format all results.
    """
    return report(found, _result)


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    isDatagram = result["kind"] in ("udp", "raw", "unix-datagram")
    what, more = "socket" if isDatagram else "connection", "s" * (result["connections"] > 1)
    carriers = f"{result['connections']} {what}{more}, {result['inFlight']} in flight on each"
    yield f"{result['target']} ({result['address']}), {result['size']} bytes, {carriers}"
    through, seconds = result["throughput"], result["elapsedNs"] / SECOND
    warm = f" after {result['warmupNs'] / SECOND:g} s" if result["warmupNs"] else ""
    yield line("rate", f"{through['messages']:,.0f} messages/s in {seconds:.1f} s{warm}")
    out, back = through["bytesOut"] / _MB, through["bytesIn"] / _MB
    yield line("bytes", f"{out:,.3f} MB/s there, {back:,.3f} MB/s back")
    yield line("messages", counts(result))
    yield from lossLines(result["lost"])
    yield line("replies", replies(result))
    yield from damageLines(result)
    if not isDatagram:
        ended = result["ended"]
        yield line("opened", f"{result['connected']} connections, {ended['count']} ended")
        for one in ended["reasons"]:
            yield line("  ended", f"{one['count']} {one['reason']}")
    if result["rttNs"] is not None:
        yield from table({"RTT, user": result["rttNs"]})
        yield "  RTT by the clock of this process"
    yield from (f"BEWARE: {fault}" for fault in result["tooSlow"])
