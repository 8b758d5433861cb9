import errno
import socket
import sys

port = int(sys.argv[1])
family = int(sys.argv[2]) if len(sys.argv) > 2 else socket.AF_INET
try:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", port))
    listener.listen()
except OSError as error:
    name = errno.errorcode[error.errno]
    sys.exit(f"port {port}: {error.strerror} (errno {error.errno}, {name})")
print("listening on port", port)
listener.accept()
