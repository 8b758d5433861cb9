import socket

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.bind(("127.0.0.1", 1234))
listener.listen()
input("listening on port 1234; type go to accept\n")
connection, peer = listener.accept()
print("accepted", peer)
print("it has sent", connection.recv(100))
