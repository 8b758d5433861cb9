"""
Tests of what the service tells.
"""
