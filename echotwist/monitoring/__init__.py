"""
HTTP pages about the service: metrics and health.
"""
