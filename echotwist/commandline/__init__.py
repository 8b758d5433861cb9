"""
Command lines: how options are declared and parsed.
"""
