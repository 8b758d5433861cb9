"""
Checks of key and certificate files whose errors OpenSSL and Twisted report badly, or late.
"""

from __future__ import annotations

import os
from pathlib import Path


def checkKey(path: str) -> None:
    """
    Check that a key needs no pass phrase: each process would ask for it at each start,
    when nobody may be there to type it.

    :raise ValueError: it needs one.
    """
    file = Path(path)
    if file.is_file() and b"ENCRYPTED" in file.read_bytes():
        raise ValueError(f"{file} is encrypted; openssl pkey writes it as one that is not")


def checkIsFolder(path: str) -> None:
    """
    Check that a folder exists.

    :raise ValueError: it does not.
    """
    if not os.path.isdir(path):
        raise ValueError("there is no such folder of certificates and keys (PEM)")


def checkCertificates(path: str) -> None:
    """
    Check that a folder contains a certificate.

    :raise ValueError: it contains none.
    """
    if not any(name.endswith(".pem") for name in os.listdir(path)):
        raise ValueError("there is no certificate with its key (PEM) in that folder")
