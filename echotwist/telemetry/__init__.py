"""
What the service tells: counters, the log, and its state for systemd.
"""
