"""
Echo as people write it with Twisted's own parts; the rules are seen to break here.
"""

from twisted.application.internet import StreamServerEndpointService, UDPServer
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.protocols.wire import Echo
from twisted.python.log import msg


class DatagramEcho(DatagramProtocol):
    """
    The handler that every tutorial shows.
    """

    def datagramReceived(self, datagram, addr):
        """
        Write it back.
        """
        self.transport.write(datagram, addr)


application = Application("stock")
endpoint = TCP4ServerEndpoint(reactor, 0)
tcp = StreamServerEndpointService(endpoint, Factory.forProtocol(Echo))


def alsoUDP(port):
    """
    Take the number that TCP got.
    """
    number = port.getHost().port
    UDPServer(number, DatagramEcho()).setServiceParent(application)
    # UDP is not open before.
    reactor.callWhenRunning(msg, f"#stock on {number}")
    return port


tcp.setServiceParent(application)
listen = endpoint.listen
endpoint.listen = lambda factory: listen(factory).addCallback(alsoUDP)
