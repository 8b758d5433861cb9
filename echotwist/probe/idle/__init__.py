"""
Find out how long a path keeps a silent flow: ``echoprobe idle``.

NATs, firewalls and load balancers forget a flow that is silent for too long.  Many flows
run at the same time.  Each is silent for a different time, and then sends one probe: no
probe refreshes another flow.
"""
