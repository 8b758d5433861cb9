"""
``echoprobe watch``: many targets from a file, for ever.

Each is probed as by ``ping``, by a :class:`~echotwist.probe.session.Session`.  What is
different: targets share sockets and one timer, little is remembered of each, and the
file can be read again.
"""
