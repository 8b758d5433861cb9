"""
Tests that talk to a service in a process of its own, in both of its ways.
"""
