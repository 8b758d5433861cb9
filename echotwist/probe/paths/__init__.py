"""
Whether some source ports fare worse than others: ``echoprobe paths``.
"""
