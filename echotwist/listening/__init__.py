"""
From what was asked for to ports that serve.
"""
