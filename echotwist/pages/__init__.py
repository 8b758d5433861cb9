"""
Pages for programs that ask by HTTP, of the service and of the probe.
"""
