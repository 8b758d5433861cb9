"""
The tests; CONTRIBUTING.rst says how to run them.
"""
