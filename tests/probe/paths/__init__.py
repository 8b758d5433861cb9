"""
Tests of the probe.
"""
