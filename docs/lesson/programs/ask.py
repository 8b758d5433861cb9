import socket
import sys

seconds = float(sys.argv[1])
with socket.create_connection(("127.0.0.1", 1234), seconds) as connection:
    print("connected to", connection.getpeername())
    connection.sendall(b"coucou\n")
    try:
        print("answer:", connection.recv(100))
    except TimeoutError:
        sys.exit("no answer")
