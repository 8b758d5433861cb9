"""
Whose certificates the probe takes.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from echotwist.probe.places import ProbeError
from echotwist.probe.secure import creatorFor, whyNot


class Ours:
    """
    What a connection of the probe is to Twisted.

    :ivar factory: asked for protocols that are offered; none are.
    :ivar refusal: why the certificate is not taken.
    """

    refusal: Any = None

    def __init__(self, creator: Any) -> None:
        self.factory = TLSMemoryBIOFactory(creator, True, Factory())

    def failVerification(self, reason: Any) -> None:
        """
        Note why the certificate is refused.
        """
        self.refusal = reason.value


def pair(folder: Path, names: str) -> tuple[Path, Path]:
    """
    Make a key and a certificate for these names.
    """
    key, certificate = folder / "key.pem", folder / "cert.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2"
    subject = ["-subj", "/CN=localhost", *(["-addext", f"subjectAltName={names}"] if names else [])]
    subprocess.run([*words.split(), *subject], check=True, capture_output=True)
    return key, certificate


def shaken(creator: Any, key: Path, certificate: Path) -> str:
    """
    Shake hands in memory.

    :return: why the probe does not want to; empty if it does.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey_file(str(key))
    context.use_certificate_file(str(certificate))
    server, ours = SSL.Connection(context, None), Ours(creator)
    server.set_accept_state()
    client = creator.clientConnectionForTLS(ours)
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                return whyNot(ours.refusal or error)
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(2**16))
    return ""


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ("DNS:localhost", {"localhost"}),
        ("IP:127.0.0.1", {"127.0.0.1"}),
        ("DNS:elsewhere.example", set()),
        ("", set()),
    ],
)
def test_names(tmp_path: Path, names: str, taken: set[str]) -> None:
    """
    A certificate is taken for its names alone; one without names is for nobody.
    """
    key, certificate = pair(tmp_path, names)
    for host in ("localhost", "127.0.0.1"):
        why = shaken(creatorFor(host, str(certificate), False), key, certificate)
        wanted = "" if host in taken else f"the certificate is not for {host}; see --insecure"
        assert why == wanted
        why = shaken(creatorFor(host, None, False), key, certificate)
        assert why == "certificate verify failed; see --ca and --insecure"
        assert shaken(creatorFor(host, None, True), key, certificate) == ""


def test_noName() -> None:
    """
    A host whose name no certificate can have is told before anything is sent.
    """
    with pytest.raises(ProbeError, match=r"^my_host: no certificate can have that name; see --ins"):
        creatorFor("my_host", None, False)
