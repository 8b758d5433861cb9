"""
Tests of several processes.
"""
