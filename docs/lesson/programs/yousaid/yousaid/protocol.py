from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class YouSaid(LineOnlyReceiver):
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
    protocol = YouSaid
    noisy = False

    def __init__(self, prefix):
        self.prefix = prefix
