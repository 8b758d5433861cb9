import socket

PREFIX = b"You said : "


def prefixed(data, isStart):
    body = data[:-1].replace(b"\n", b"\n" + PREFIX)
    return (PREFIX if isStart else b"") + body + data[-1:]


listener = socket.create_server(("127.0.0.1", 1234))
print("listening on port 1234")
while True:
    connection, peer = listener.accept()
    isStart = True
    while data := connection.recv(16):
        connection.sendall(prefixed(data, isStart))
        isStart = data.endswith(b"\n")
    connection.close()
