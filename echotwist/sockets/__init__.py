"""
What the system knows of sockets; no Twisted here.
"""
