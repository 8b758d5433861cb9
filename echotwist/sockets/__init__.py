"""
Sockets of the operating system; no module here imports Twisted.
"""
