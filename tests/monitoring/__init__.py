"""
Tests of the pages for those who watch.
"""
