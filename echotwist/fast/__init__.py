"""
Faster parts for Linux, with the same promises as the portable ones.
"""
