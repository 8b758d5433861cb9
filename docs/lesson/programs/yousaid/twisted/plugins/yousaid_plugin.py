from twisted.application.service import ServiceMaker

yousaid = ServiceMaker("yousaid", "yousaid.tap", "Answers each line", "yousaid")
