"""
HTTP pages for programs, used by the service and by the probe.
"""
