"""
Tests of how ports come to be.
"""
