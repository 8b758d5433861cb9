"""
How long a path keeps a flow that is silent: ``echoprobe idle``.

NATs, firewalls and load balancers forget a flow that is silent for too long.  Many flows
side by side are each silent for another time, then asked once: no question refreshes
another flow.
"""
