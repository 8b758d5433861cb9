"""
What Linux can do better than the portable parts, with the same promises.
"""
