import socket
import sys

port = int(sys.argv[1])
listener = socket.socket()
listener.bind(("127.0.0.1", port))
listener.listen()
print("listening on port", port)
connection, peer = listener.accept()
connection.sendall(b"x" * 200_000)
connection.close()
print("closed")
