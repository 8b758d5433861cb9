"""
Pass to each part of the service just the values of the settings that it needs.
"""

from __future__ import annotations

from echotwist.impair.grammar import UNIMPAIRED, Impairments
from echotwist.listening.listeners import Binding, Sockets
from echotwist.listening.rules import DatagramRules, Rules, StreamRules
from echotwist.settings import Settings


def socketsOf(settings: Settings) -> Sockets:
    """
    Return the sockets that settings ask for.
    """
    return Sockets(
        binding=Binding(
            interfaces=settings.interfaces,
            reuse=settings.reuse,
            backlog=settings.backlog,
            linger=settings.linger,
        ),
        port=settings.port,
        transports=settings.transports,
        endpoints=settings.listen,
        unixDatagrams=settings.unixDatagrams,
        systemd=settings.systemd,
        raw=settings.raw,
    )


def rulesOf(settings: Settings, impair: Impairments = UNIMPAIRED) -> Rules:
    """
    Return the rules that settings make for ports.

    :param impair: the impairments to apply, with a seed.
    """
    return Rules(
        prefix=settings.prefix,
        verbose=settings.verbose,
        portable=settings.portable,
        allow=settings.allow,
        deny=settings.deny,
        streams=StreamRules(
            maxConnections=settings.maxConnections,
            maxPerPeer=settings.maxPerPeer,
            isScraped=settings.metrics is not None and settings.workers == 1,
            stallTimeout=settings.stallTimeout,
            idleTimeout=settings.idleTimeout,
            drain=settings.drain,
        ),
        datagrams=DatagramRules(
            rate=settings.udpRate,
            loopRate=settings.loopRate,
            answerLowPorts=settings.answerLowPorts,
        ),
        impair=impair,
    )
