"""
Counters, the log, and the state of the service for systemd.
"""
