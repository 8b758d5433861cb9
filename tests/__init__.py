"""
The tests; CONTRIBUTING.rst says how to run them.
"""

from hypothesis import HealthCheck, settings

# A machine that has much to do is slow, not wrong.
settings.register_profile("echotwist", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("echotwist")
