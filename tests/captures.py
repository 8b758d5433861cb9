"""
Make the lesson's captures and their drawings anew (needs root, for network namespaces).

``python -m tests.captures`` makes all of them, ``python -m tests.captures udp raw`` two;
``--draw`` only draws again what was captured before.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.captures.recording import drawing, record
from tests.support.captures.scenes import SCENES
from tests.support.live import ROOT

#: Where they are.
CAPTURES = ROOT / "docs" / "lesson" / "captures"


def main(words: list[str]) -> None:
    """
    Make those that are named, or all.
    """
    for name in [word for word in words if word != "--draw"] or SCENES:
        kept = CAPTURES / f"{name}.pcap"
        if "--draw" not in words:
            with TemporaryDirectory() as folder:
                shutil.copyfile(record(name, Path(folder)), kept)
        kept.with_suffix(".svg").write_text(drawing(name, kept), "utf-8")
        print(f"{kept.relative_to(ROOT)}: {kept.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
