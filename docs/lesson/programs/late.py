import socket
import sys

connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
input("connected; type go to read\n")
received = 0
try:
    while data := connection.recv(65_536):
        received += len(data)
except OSError as error:
    print(error)
print(received, "bytes")
