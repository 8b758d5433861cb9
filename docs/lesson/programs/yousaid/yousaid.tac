from twisted.application.service import Application

from yousaid.service import serviceAt

application = Application("yousaid")
serviceAt("tcp:1234:interface=127.0.0.1").setServiceParent(application)
