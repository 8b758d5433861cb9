"""
What happens on one connection.
"""

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class YouSaid(LineOnlyReceiver):
    """
    Answer each line.
    """

    delimiter = b"\n"

    def connectionMade(self):
        self.transport.registerProducer(self.transport, True)

    def lineReceived(self, line):
        self.sendLine(self.factory.prefix + line)

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


class YouSaidFactory(Factory):
    """
    Make the protocol of each connection, and keep what they share.
    """

    protocol = YouSaid
    noisy = False

    def __init__(self, prefix):
        self.prefix = prefix
