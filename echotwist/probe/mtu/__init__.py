"""
Find how large packets may be on a path: ``echoprobe mtu``.
"""
