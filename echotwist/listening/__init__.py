"""
From the sockets that the settings ask for to ports that serve.
"""
