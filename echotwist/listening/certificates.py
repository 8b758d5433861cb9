"""
Files of keys and certificates, where OpenSSL and Twisted would say too little, or too late.
"""

from __future__ import annotations

import os
from pathlib import Path


def checkKey(path: str) -> None:
    """
    Check that a key needs no pass phrase: there may be nobody to type it for each
    process, each time that it starts.

    :raise ValueError: it does.
    """
    file = Path(path)
    if file.is_file() and b"ENCRYPTED" in file.read_bytes():
        raise ValueError(f"{file} is encrypted; openssl pkey writes it as one that is not")


def checkIsFolder(path: str) -> None:
    """
    Check that a folder exists.

    :raise ValueError: it is not.
    """
    if not os.path.isdir(path):
        raise ValueError("there is no such folder of certificates and keys (PEM)")


def checkCertificates(path: str) -> None:
    """
    Check that a folder has a certificate.

    :raise ValueError: it has none.
    """
    if not any(name.endswith(".pem") for name in os.listdir(path)):
        raise ValueError("there is no certificate with its key (PEM) in that folder")
