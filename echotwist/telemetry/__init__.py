"""
What the service tells: counters, log, metrics, its manager.
"""
