"""
The lesson's captures: how each is made, and how it becomes a sequence diagram.
"""
