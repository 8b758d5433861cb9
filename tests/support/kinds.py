"""
The kinds of listeners: how to start a service with one, and how to talk to it.
"""

from __future__ import annotations

import datetime
import os
import secrets
import socket
import struct
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from tests.support.live import PATIENCE, Server, lowPort, ours, ownProtocol
from tests.support.streams import Stream, TLSStream, asStream

_LOCAL, _OTHER = "127.0.0.1", "127.0.0.9"

#: The peer that a PROXY header names (RFC 5737), and another.
NAMED, OTHER = "192.0.2.7", "192.0.2.8"


class Kind:
    """
    One kind of listener.

    :ivar name: of its column.
    :ivar transport: what the log calls it.
    :ivar label: what the metrics call it.
    """

    name: str
    transport: str
    label: str

    def options(self, folder: Path) -> list[str]:
        """
        Return the options of a service that has this listener, and no other.
        """
        return ["--port=0", "--interface=127.0.0.1", "--no-udp"]

    def ours(self, folder: Path, *options: str, limit: str = "") -> Server:
        """
        Start the service.
        """
        return ours(folder, *options, limit=limit, waysIn=self.options(folder))

    def place(self, server: Server) -> str:
        """
        Return what the log says of where it listens.
        """
        return server.waitFor(rf"echo on (?:.*, )?{self.transport} ([^,\s]+)")[1]


class StreamKind(Kind):
    """
    TCP, and what the other kinds of streams have in common with it.

    :ivar beginning: a part of what a client says before its first byte.
    :ivar hosts: the addresses of a client, and of another peer.
    """

    name = "TCP"
    transport = "TCP"
    label = "tcp"
    beginning = b""
    hosts = (_LOCAL, _OTHER)

    def ours(self, folder: Path, *options: str, limit: str = "") -> Server:
        """
        Start the service, with its door.
        """
        server = super().ours(folder, *options, limit=limit)
        server.door = partial(self.connect, server)
        return server

    def dial(self, server: Server, host: str = "") -> socket.socket:
        """
        Connect, and do no more.

        :param host: the address to connect from, if it matters.
        """
        return socket.create_connection((_LOCAL, server.port), PATIENCE, (host, 0))

    def greet(self, plain: socket.socket) -> Stream:
        """
        Do what is to be done before the first byte.
        """
        return asStream(plain)

    def connect(self, server: Server) -> Stream:
        """
        Connect, ready to speak.
        """
        return self.greet(self.dial(server))

    def connectAsOther(self, server: Server) -> Stream:
        """
        Connect as somebody else than before.
        """
        return self.greet(self.dial(server, _OTHER))

    def peer(self, stream: Stream) -> str:
        """
        Return what the log calls a client.
        """
        host, port = stream.getsockname()
        return f"{host}:{port}"


class TLS(StreamKind):
    """
    TLS on TCP.

    :param version: of the protocol.
    """

    transport = "TLS"
    label = "tls"
    beginning = b"\x16\x03\x01"

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(version)
        self._context.set_max_proto_version(version)

    def options(self, folder: Path) -> list[str]:
        """
        Leave key and certificate in the folder, and name them.
        """
        key, certificate = keyAndCertificate()
        (folder / "key.pem").write_bytes(key)
        (folder / "cert.pem").write_bytes(certificate)
        files = f"privateKey={folder}/key.pem:certKey={folder}/cert.pem"
        return [f"--listen=ssl:0:interface=127.0.0.1:{files}"]

    def greet(self, plain: socket.socket) -> Stream:
        """
        Shake hands.
        """
        stream = asStream(plain, TLSStream)
        assert isinstance(stream, TLSStream)
        try:
            stream.begin(self._context)
        except BaseException:
            stream.close()
            raise
        return stream


@lru_cache
def keyAndCertificate() -> tuple[bytes, bytes]:
    """
    Make a key and a certificate, as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, certificate.public_bytes(Encoding.PEM)


class Unix(StreamKind):
    """
    A UNIX socket, by path.
    """

    name = "UNIX"
    transport = "UNIX"
    label = "unix"

    def options(self, folder: Path) -> list[str]:
        """
        Listen in the folder.
        """
        return [f"--listen=unix:{folder}/echo:mode=660"]

    def dial(self, server: Server, host: str = "") -> socket.socket:
        """
        Connect, and do no more.
        """
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(PATIENCE)
        try:
            plain.connect(unixAddress(self.place(server)))
        except BaseException:
            plain.close()
            raise
        return plain

    def peer(self, stream: Stream) -> str:
        """
        Return nothing: a client has no name.
        """
        return ""


def unixAddress(place: str) -> str:
    """
    Turn what the log says into an address (unix(7)).
    """
    return "\0" + place[1:] if place.startswith("@") else place


class Abstract(Unix):
    """
    A UNIX socket, by abstract name.
    """

    name = "UNIX abstract"

    def options(self, folder: Path) -> list[str]:
        """
        Listen on a name that nobody has.
        """
        return [rf"--listen=unix:\0echo-{secrets.token_hex(8)}"]


class Proxy(StreamKind):
    """
    TCP behind a proxy that names its client.

    :param header: makes what it says first, of a peer's address and port.
    """

    hosts = (NAMED, OTHER)

    def __init__(self, name: str, header: Callable[[str, int], bytes]) -> None:
        self.name = name
        self.beginning = header(NAMED, 1)[:10]
        self._header = header

    def options(self, folder: Path) -> list[str]:
        """
        Expect the header.
        """
        return ["--listen=haproxy:tcp:0:interface=127.0.0.1"]

    def greet(self, plain: socket.socket, host: str = NAMED) -> Stream:
        """
        Send the header.

        :param host: the address to name; the port is the socket's own.
        """
        stream = asStream(plain)
        try:
            stream.sendall(self._header(host, stream.getsockname()[1]))
        except BaseException:
            stream.close()
            raise
        return stream

    def connectAsOther(self, server: Server) -> Stream:
        """
        Have the header name somebody else.
        """
        return self.greet(self.dial(server), OTHER)

    def peer(self, stream: Stream) -> str:
        """
        Return the client that the header named.
        """
        return f"{NAMED}:{stream.getsockname()[1]}"


def proxyText(host: str, port: int) -> bytes:
    """
    Make a header of version 1 (The PROXY protocol, section 2.1).
    """
    return f"PROXY TCP4 {host} 192.0.2.1 {port} 7\r\n".encode("ascii")


def proxyBinary(host: str, port: int) -> bytes:
    """
    Make a header of version 2 (section 2.2).
    """
    addresses = socket.inet_aton(host) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", port, 7)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses)) + addresses


class Adopted(StreamKind):
    """
    TCP on a socket that somebody else has opened (sd_listen_fds(3)).
    """

    name = "systemd"

    def ours(self, folder: Path, *options: str, limit: str = "") -> Server:
        """
        Start the service with the socket as its descriptor 3.
        """
        words = [limit] if limit else []
        words += ["exec 3<&0 0</dev/null", "export LISTEN_FDS=1 LISTEN_PID=$$"]
        with socket.create_server((_LOCAL, 0)) as listener:
            server = ours(
                folder,
                *options,
                limit="; ".join(words),
                waysIn=["--systemd"],
                stdin=listener.fileno(),
            )
        server.door = partial(self.connect, server)
        return server


#: All kinds of streams.
STREAMS: list[StreamKind] = [
    StreamKind(),
    TLS("TLS 1.3", SSL.TLS1_3_VERSION),
    TLS("TLS 1.2", SSL.TLS1_2_VERSION),
    Unix(),
    Abstract(),
    Proxy("PROXY v1", proxyText),
    Proxy("PROXY v2", proxyBinary),
    Adopted(),
]


class Client(socket.socket):
    """
    A datagram socket that speaks with one service only.
    """

    def ask(self, datagram: bytes) -> bytes:
        """
        Send a datagram, and give the reply.
        """
        self.send(datagram)
        return self.recv(2**20)


class DatagramKind(Kind):
    """
    UDP, and what the other kinds of datagrams have in common with it.

    :ivar sizes: of datagrams, in bytes; the last is the largest.
    """

    name = "UDP"
    transport = "UDP"
    label = "udp"
    sizes = [0, 1, 1472, 8192, 8193, 65_507]

    def ours(self, folder: Path, *options: str, limit: str = "") -> Server:
        """
        Start the service, with the door of its streams.
        """
        server = super().ours(folder, *options, limit=limit)
        server.door = int(server.waitFor(r"TCP \S+:(\d+)")[1])
        return server

    def options(self, folder: Path) -> list[str]:
        """
        Listen for datagrams, and for streams too.
        """
        return ["--port=0", "--interface=0.0.0.0"]

    def client(self, server: Server, host: str = "", source: str = "") -> Client:
        """
        Make a client.

        :param host: the address to ask, where there are several.
        :param source: the address to ask from, if it matters.
        """
        client = Client(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(PATIENCE)
        client.bind((source, 0))
        client.connect((host or _LOCAL, server.port))
        return client

    def unanswerable(self, server: Server) -> socket.socket:
        """
        Make a client that is not to be answered: its port is a service's.
        """
        port = lowPort()
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.bind((_LOCAL, port))
        client.connect((_LOCAL, server.port))
        return client

    def peer(self, client: Client) -> str:
        """
        Return what the log calls a client.
        """
        host, port = client.getsockname()
        return f"{host}:{port}"


class UnixDatagram(DatagramKind):
    """
    UNIX datagrams, by path.
    """

    name = "UNIX datagram"
    transport = "UNIX datagram"
    label = "unix-datagram"
    sizes = [0, 1, 1472, 8192, 8193, 65_507, 65_536]

    def options(self, folder: Path) -> list[str]:
        """
        Listen in the folder, and for streams on TCP.
        """
        return [f"--unix-datagram={folder}/datagrams", "--listen=tcp:0:interface=127.0.0.1"]

    def client(self, server: Server, host: str = "", source: str = "") -> Client:
        """
        Make a client that has a name, so that it can be answered.
        """
        client = self.unanswerable(server)
        client.bind(f"\0echo-client-{secrets.token_hex(8)}")
        client.connect(unixAddress(self.place(server)))
        return client

    def unanswerable(self, server: Server) -> Client:
        """
        Make a client that has none.
        """
        client = Client(socket.AF_UNIX, socket.SOCK_DGRAM)
        client.settimeout(PATIENCE)
        client.connect(unixAddress(self.place(server)))
        return client

    def peer(self, client: Client) -> str:
        """
        Give its abstract name.
        """
        name = client.getsockname()
        assert isinstance(name, bytes)
        return "@" + name[1:].decode("ascii")


class AbstractDatagram(UnixDatagram):
    """
    UNIX datagrams, by abstract name.
    """

    name = "UNIX datagram abstract"

    def options(self, folder: Path) -> list[str]:
        """
        Listen on a name that nobody has.
        """
        name = rf"\0echo-{secrets.token_hex(8)}"
        return [f"--unix-datagram={name}", "--listen=tcp:0:interface=127.0.0.1"]


#: ``asm-generic/socket.h``
_SO_RCVBUFFORCE = 33


class RawClient(Client):
    """
    A client whose own datagrams come by its door as well.

    It marks them by their hop limit, which Linux sets on the way out and gives
    on the way in, and knows them by it.
    """

    _MARK = 17

    def prepare(self) -> None:
        """
        Mark what goes out.
        """
        self.settimeout(PATIENCE)
        # We get the replies to all clients at this address.
        self.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 2**22)
        if self.family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, self._MARK)
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            self.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self._MARK)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """
        Receive the next payload that is not our own.
        """
        while True:
            packet, control, _, _ = self.recvmsg(2**17, 256, flags)
            if self.family == socket.AF_INET6:
                hops = struct.unpack("i", control[0][2])[0]
            else:
                hops = packet[8]
                packet = packet[(packet[0] & 15) * 4 :]
            if hops != self._MARK:
                return packet[:size]


class Raw(DatagramKind):
    """
    The payload of raw IP packets.

    :param family: of the addresses.
    """

    transport = "raw"
    label = "raw"

    def __init__(self, name: str, family: socket.AddressFamily, host: str, largest: int) -> None:
        self.name = name
        self.sizes = [0, 1, 1472, 8192, 8193, largest]
        self._family = family
        self._host = host

    def options(self, folder: Path) -> list[str]:
        """
        Take another protocol each time.
        """
        return [
            f"--raw={ownProtocol()}",
            f"--interface={self._host}",
            "--listen=tcp:0:interface=127.0.0.1",
        ]

    def client(self, server: Server, host: str = "", source: str = "") -> Client:
        """
        Make a client.
        """
        number = int(server.waitFor(r"raw (\d+) ")[1])
        client = RawClient(self._family, socket.SOCK_RAW, number)
        client.prepare()
        ours = "::1" if self._family == socket.AF_INET6 else _LOCAL
        client.bind((source or ours, 0))
        client.connect((host or ours, 0))
        return client

    def unanswerable(self, server: Server) -> Client:
        """
        Make a client that asks all hosts at once.
        """
        client = self.client(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.connect(("127.255.255.255", 0))
        return client

    def peer(self, client: Client) -> str:
        """
        Give its address.
        """
        host: str = client.getsockname()[0]
        return host


#: All kinds of datagrams.
DATAGRAMS: list[DatagramKind] = [
    DatagramKind(),
    UnixDatagram(),
    AbstractDatagram(),
    Raw("raw IPv4", socket.AF_INET, "0.0.0.0", 65_515),
    Raw("raw IPv6", socket.AF_INET6, "::1", 65_535),
]

#: Whether raw sockets may be opened here (capabilities(7), CAP_NET_RAW).
MAY_RAW = hasattr(os, "geteuid") and os.geteuid() == 0
