"""
Tests of command lines.
"""
