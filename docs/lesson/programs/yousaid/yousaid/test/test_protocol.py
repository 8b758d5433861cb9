from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from yousaid.protocol import YouSaidFactory


class YouSaidTests(SynchronousTestCase):
    def setUp(self):
        self.transport = StringTransport()
        factory = YouSaidFactory(b"You said : ")
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def test_line(self):
        self.protocol.dataReceived(b"cou")
        self.assertEqual(self.transport.value(), b"")
        self.protocol.dataReceived(b"cou\nen")
        self.assertEqual(self.transport.value(), b"You said : coucou\n")

    def test_end(self):
        self.protocol.dataReceived(b"coucou\n")
        self.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"You said : coucou\n")

    def test_backPressure(self):
        self.assertIs(self.transport.producer, self.transport)
