"""
The echo service as an application file: ``twistd -ny echo.tac``.

On Linux ``twistd --reactor=lean -ny echo.tac`` is faster.

What is left out keeps its default; all there is to choose is shown.
"""

from twisted.application.service import Application

from echotwist import EchoService, Settings

application = Application("echo")
EchoService(
    Settings(
        port=1234,  # TCP and UDP; 0 takes a free one
        interfaces=[],  # everywhere; or "127.0.0.1", "fe80::1%eth0", "eth0", "localhost"
        listen=[],  # endpoints: "unix:/run/echo.sock", "ssl:7777:privateKey=key.pem:certKey=cert.pem"
        unixDatagrams=[],  # "/run/echo.dgram"; "@name" is abstract
        raw=None,  # an IP protocol: 253, 254
        systemd=False,  # True: serve on the sockets that systemd passes
        reuse=False,  # True: share address and port with other processes
        tcp=True,
        udp=True,
        prefix=b"",  # b"You said : "
        linger=None,  # seconds; 0 resets on close
        backlog=1024,  # connections waiting to be accepted
        verbose=False,  # True: log each connection and each datagram
        answerLowPorts=False,  # True: answer datagrams from ports below 1024
        allow=[],  # "10.0.0.0/8", "2001:db8::1": no others are served
        deny=[],  # "10.1.0.0/16": not served; the longest prefix decides
        udpRate=10_000,  # replies a second for each source; 0 for no limit
        loopRate=100,  # datagrams a second with the same bytes; 0 for no guard against loops
        maxConnections=0,  # 0 for what the limit on open files allows
        maxPerPeer=0,  # 0 for no limit
        stallTimeout=900,  # seconds; 0 for never
        idleTimeout=0,  # seconds; 0 for never
        drain=10,  # seconds that connections go on when the service stops
        metrics=None,  # "tcp:9464:interface=127.0.0.1", with the extra echotwist[metrics]
        workers=1,  # processes; 0 for one on each core
        impair=[],  # "loss=1%,delay=50ms": misbehave on purpose
        portable=False,  # True: do not use what only Linux has
    )
).setServiceParent(application)
