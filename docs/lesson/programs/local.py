import socket

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind("echo.sock")
listener.listen()
print("listening on echo.sock", flush=True)
while True:
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
