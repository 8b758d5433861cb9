"""
Tests of the HTTP pages about the service.
"""
