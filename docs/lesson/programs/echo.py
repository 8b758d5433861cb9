import socket

listener = socket.create_server(("127.0.0.1", 1234))
print("listening on port 1234")
while True:
    connection, peer = listener.accept()
    while data := connection.recv(16):
        connection.send(b"You said : " + data)
    connection.close()
