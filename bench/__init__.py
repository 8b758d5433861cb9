"""
What an echo costs, ours and others': ``python -m bench`` in a checkout.

Everything is built in a temporary folder, runs over loopback, and asserts
nothing about time.
"""
