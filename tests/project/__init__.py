"""
Tests of what surrounds the code: packaging, deployment, documentation.
"""
