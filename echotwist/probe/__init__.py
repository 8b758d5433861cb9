"""
The probe (``echoprobe``), which measures a path through any echo service.
"""
