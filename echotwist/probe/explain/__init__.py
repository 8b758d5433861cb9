"""
What captures say of probes: ``echoprobe explain``.

The probes are known by the numbers and times that they carry (see
:mod:`echotwist.probe.payload`).
"""
