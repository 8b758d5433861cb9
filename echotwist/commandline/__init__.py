"""
Command lines: how options are declared, and read.
"""
