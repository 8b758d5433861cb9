"""
The other end: measures a path through any echo service (``echoprobe``).
"""
