"""
What ``echoprobe paths --json`` prints.
"""

from __future__ import annotations

import json
from pathlib import Path

import echotwist.probe.paths

SCHEMA = json.loads(Path(echotwist.probe.paths.__file__).with_name("schema.json").read_text())
