"""
What captures say of probes.
"""
