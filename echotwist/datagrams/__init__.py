"""
Datagrams: UDP, UNIX, raw IP.
"""
