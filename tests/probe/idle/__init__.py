"""
How long silent flows are kept.
"""
