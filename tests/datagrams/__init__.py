"""
Tests of datagrams.
"""
