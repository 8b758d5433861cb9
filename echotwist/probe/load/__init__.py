"""
Measure how much an echo service carries: ``echoprobe load``.

Each of some connections, or of some sockets for datagrams, has some messages under way.
When one is answered or lost, the probe sends the next: a closed loop.
"""
