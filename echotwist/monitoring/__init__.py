"""
HTTP pages that tell about the service: metrics and health.
"""
