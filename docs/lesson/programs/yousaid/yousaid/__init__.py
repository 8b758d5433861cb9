"""
Says what you said, line by line.
"""
