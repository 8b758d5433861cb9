from twisted.application import strports

from yousaid.protocol import YouSaidFactory


def serviceAt(where, prefix="You said : "):
    return strports.service(where, YouSaidFactory(prefix.encode()))
