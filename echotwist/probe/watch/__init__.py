"""
Probe many targets from a file without end: ``echoprobe watch``.

It probes each target as ``ping`` does, by a :class:`~echotwist.probe.session.Session`.  The
differences: targets share sockets and one timer, the process remembers little of each, and
it can read the file again.
"""
