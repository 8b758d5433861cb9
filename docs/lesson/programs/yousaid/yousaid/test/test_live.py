import re
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def port():
    words = "-m twisted yousaid --listen tcp:0:interface=127.0.0.1"
    command = [sys.executable, *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if found := re.search(r"starting on (\d+)", line):
                yield int(found[1])
                process.terminate()


def test_halfClose(port):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"coucou\nencore\n")
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert answer == b"You said : coucou\nYou said : encore\n"
