"""
Streams: TCP, UNIX, TLS, and behind a proxy.
"""
