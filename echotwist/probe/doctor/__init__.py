"""
``echoprobe doctor``: is this echo service right?

Each check is a coroutine in :mod:`~echotwist.probe.doctor.streams` or
:mod:`~echotwist.probe.doctor.datagrams`, which says in its docstring what is right.
"""
