import socket
import struct
import sys
import time
from pathlib import Path

HOST = socket.inet_aton("192.0.2.1")
UDP = socket.IPPROTO_UDP


def received():
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Udp:"))
    return int(numbers[names.index("InDatagrams")])


source, port, seconds = (int(word) for word in sys.argv[1:])
header = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, UDP, 0)
datagram = struct.pack("!HHHH", source, port, 8 + 4, 0) + b"spam"
before = received()
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(header + HOST + HOST + datagram, ("192.0.2.1", 0))
for _ in range(seconds):
    last = received()
    time.sleep(1)
    if received() == last:
        print(f"received {last - before:,}, and no more")
        break
else:
    print(f"received {received() - before:,}, and it goes on")
