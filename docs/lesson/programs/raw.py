import socket

server = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
print("listening for protocol 253", flush=True)
while True:
    packet, peer = server.recvfrom(65535)
    header = 4 * (packet[0] & 15)
    server.sendto(packet[header:], peer)
