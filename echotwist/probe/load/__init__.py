"""
How much an echo service carries: ``echoprobe load``.

Of some connections, or sockets for datagrams, each has some messages under way.  When one
is answered or lost, the next is sent: a closed loop.
"""
