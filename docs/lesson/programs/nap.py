import socket
import time
from contextlib import suppress

listener = socket.create_server(("127.0.0.1", 1234), backlog=1024)
listener.setblocking(False)
print("listening on port 1234", flush=True)
connections = []
while True:
    time.sleep(0.000_5)
    with suppress(BlockingIOError):
        connections.append(listener.accept()[0])
        connections[-1].setblocking(False)
    for connection in list(connections):
        with suppress(BlockingIOError):
            data = connection.recv(65_536)
            if data:
                connection.send(data)
            else:
                connections.remove(connection)
                connection.close()
