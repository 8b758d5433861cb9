"""
The command line.
"""

from twisted.python import usage

from yousaid.service import serviceAt


class Options(usage.Options):
    """
    What ``twistd yousaid --help`` shows.
    """

    optParameters = [
        ["listen", "l", "tcp:1234", "endpoint to listen at"],
        ["prefix", "p", "You said : ", "text before each line"],
    ]


def makeService(options):
    """
    Make what the command line asks for.
    """
    return serviceAt(options["listen"], options["prefix"])
