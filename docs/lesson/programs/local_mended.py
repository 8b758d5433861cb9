import os
import socket
import sys


def isServed(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


if isServed("echo.sock"):
    sys.exit("another program serves echo.sock")
if os.path.exists("echo.sock"):
    os.unlink("echo.sock")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind("echo.sock")
listener.listen()
print("listening on echo.sock", flush=True)
while True:
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
