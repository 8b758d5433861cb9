"""
Find source ports whose traffic takes a worse path: ``echoprobe paths``.
"""
