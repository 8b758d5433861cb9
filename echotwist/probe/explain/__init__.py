"""
Find out from captures what happened to probes: ``echoprobe explain``.

It recognises probes by the numbers and times that they carry (see
:mod:`echotwist.probe.payload`).
"""
