"""
The plugin for pytest.
"""
