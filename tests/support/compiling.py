"""
Whether what can be compiled should be there.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path


def _compiles() -> bool:
    words = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return shutil.which(words[0]) is not None and header.exists()


#: This machine can compile it, and runs it.
COMPILES = sys.platform == "linux" and sys.implementation.name == "cpython" and _compiles()
