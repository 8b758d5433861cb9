import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", int(sys.argv[1])))
print("listening on port", server.getsockname()[1], flush=True)
while True:
    data, peer = server.recvfrom(2048)
    server.sendto(data, peer)
