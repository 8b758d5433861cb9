from twisted.python import usage

from yousaid.service import serviceAt


class Options(usage.Options):
    optParameters = [
        ["listen", "l", "tcp:1234", "endpoint to listen at"],
        ["prefix", "p", "You said : ", "text before each line"],
    ]


def makeService(options):
    return serviceAt(options["listen"], options["prefix"])
