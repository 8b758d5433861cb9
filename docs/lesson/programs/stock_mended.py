from twisted.internet import interfaces, protocol, reactor
from zope.interface import implementer


@implementer(interfaces.IHalfCloseableProtocol)
class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

    def readConnectionLost(self):
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


reactor.listenTCP(1237, protocol.Factory.forProtocol(Echo))
print("listening on port 1237")
reactor.run()
