import selectors
import socket

listener = socket.create_server(("127.0.0.1", 1234), backlog=1024)
waiting = selectors.PollSelector()
waiting.register(listener, selectors.EVENT_READ)
print("listening on port 1234", flush=True)
while True:
    for key, _ in waiting.select():
        if key.fileobj is listener:
            waiting.register(listener.accept()[0], selectors.EVENT_READ)
        elif data := key.fileobj.recv(65_536):
            key.fileobj.sendall(data)
        else:
            waiting.unregister(key.fileobj)
            key.fileobj.close()
