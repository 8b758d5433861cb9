import socket
import sys

patience, most = float(sys.argv[1]), 100 * 2**20
with socket.create_connection(("127.0.0.1", 1234)) as client:
    client.settimeout(patience)
    sent = 0
    try:
        while sent < most:
            sent += client.send(bytes(2**16))
        print("it takes all, without end")
    except TimeoutError:
        print(f"it stopped after {sent / 2**20:.1f} MiB")
    input("look at it, then press Enter\n")
