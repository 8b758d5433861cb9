"""
Impairments: how a service misbehaves on purpose, without any I/O.
"""
