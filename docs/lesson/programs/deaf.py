import socket

connection = socket.create_connection(("127.0.0.1", 1234), timeout=2)
sent = 0
try:
    while True:
        sent += connection.send(bytes(65_536))
except TimeoutError:
    input(f"{sent:,} bytes sent, none read; the server takes no more\n")
