from twisted.internet import protocol, reactor


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


reactor.listenTCP(1237, protocol.Factory.forProtocol(Echo))
print("listening on port 1237")
reactor.run()
