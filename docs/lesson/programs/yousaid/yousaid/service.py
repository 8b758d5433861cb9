"""
What starts and stops with the application.
"""

from twisted.application import strports

from yousaid.protocol import YouSaidFactory


def serviceAt(where, prefix="You said : "):
    """
    Make a service that listens at an endpoint, such as ``tcp:1234``.
    """
    return strports.service(where, YouSaidFactory(prefix.encode()))
