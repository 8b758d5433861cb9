import socket

connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
connection.connect(("127.0.0.1", 1234))
print("I am", connection.getsockname())
print("connected to", connection.getpeername())
connection.close()
