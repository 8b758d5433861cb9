import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26
MARK = 1234
STEPS = [
    (0x20, 0, 0, 0xFFFFF014),
    (0x15, 0, 1, MARK),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 65535),
]

server = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
steps = b"".join(struct.pack("HBBI", *step) for step in STEPS)
code = ctypes.create_string_buffer(steps)
program = struct.pack("HP", len(STEPS), ctypes.addressof(code))
server.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
server.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
print("listening for protocol 253", flush=True)
while True:
    packet, peer = server.recvfrom(65535)
    header = 4 * (packet[0] & 15)
    server.sendto(packet[header:], peer)
