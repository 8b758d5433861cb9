"""
The echo service and its probe for tests of other programs: a plugin for pytest.

The service is a process of its own.  So it disturbs neither a reactor nor an event loop of
the test's process, runs while these are blocked, and can be checked for leaks.
"""
