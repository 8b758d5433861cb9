"""
Pages for those who watch the service: numbers, health.
"""
