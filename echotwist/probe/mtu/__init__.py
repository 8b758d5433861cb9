"""
How large a packet may be: ``echoprobe mtu``.
"""
