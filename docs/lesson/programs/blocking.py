import socket

listener = socket.create_server(("127.0.0.1", 1234))
print("listening on port 1234")
while True:
    connection, peer = listener.accept()
    with connection:
        while data := connection.recv(65_536):
            connection.sendall(data)
