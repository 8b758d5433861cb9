import socket
import struct
import sys

IP_PKTINFO = 8
port = int(sys.argv[1])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
server.bind(("", port))
print("listening on port", server.getsockname()[1], flush=True)
while True:
    room = socket.CMSG_SPACE(12)
    data, [(_, _, info)], _, peer = server.recvmsg(65535, room)
    if peer[1] < 1024 or peer[1] == port:
        continue
    asked = struct.pack("=I4s4s", 0, info[8:12], bytes(4))
    told = [(socket.IPPROTO_IP, IP_PKTINFO, asked)]
    server.sendmsg([data], told, 0, peer)
