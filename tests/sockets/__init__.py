"""
Tests of what the system knows of sockets.
"""
