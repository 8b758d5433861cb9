from twisted.internet import protocol, reactor


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


factory = protocol.Factory.forProtocol(Echo)
reactor.listenTCP(1234, factory, interface="127.0.0.1")
print("listening on port 1234", flush=True)
reactor.run()
