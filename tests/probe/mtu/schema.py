"""
What ``echoprobe mtu --json`` prints.
"""

from __future__ import annotations

import json
from pathlib import Path

import echotwist.probe.mtu

SCHEMA = json.loads(Path(echotwist.probe.mtu.__file__).with_name("schema.json").read_text())
