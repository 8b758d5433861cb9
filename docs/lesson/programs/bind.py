import socket
import sys

try:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen()
except OSError:
    sys.exit("cannot start")
print("listening on port", sys.argv[1])
listener.accept()
