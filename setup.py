"""
What is installed: the package and, in Twisted's own folder, the plugin.

The packages are named one by one, because ``find_packages`` passes over
``twisted.plugins``, which is a folder without ``__init__.py``.  The explicit
``package_dir`` lets ``pip install -e .`` put this folder on the path, so that
``twistd`` sees the plugin there too.
"""

import re
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

#: Whether one build is good for all later versions of Python.
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")

#: Where it cannot be compiled, Python does the same.
SPEEDUPS = Extension(
    "echotwist.fast.speedups",
    [f"echotwist/fast/{part}.c" for part in ("speedups", "accepting", "datagrams", "passed")],
    depends=["echotwist/fast/speedups.h"],
    py_limited_api=STABLE,
    optional=True,
)


def longDescription() -> str:
    """
    Give README as a package index can show it, which has none of our files: a
    link to one becomes its name, and a picture goes.
    """
    readme = (Path(__file__).parent / "README.rst").read_text("utf-8")
    text = re.sub(r"(?m)^\.\. image:: (?!https:).*\n( +.*\n)*", "", readme)
    return re.sub(r"`([^`<]+) <(?!https:)([^>]+)>`__?", r"\1 (``\2``)", text)


setup(
    long_description=longDescription(),
    long_description_content_type="text/x-rst",
    packages=[
        "echotwist",
        "echotwist.commandline",
        "echotwist.datagrams",
        "echotwist.fast",
        "echotwist.impair",
        "echotwist.listening",
        "echotwist.monitoring",
        "echotwist.pages",
        "echotwist.probe",
        "echotwist.probe.doctor",
        "echotwist.probe.explain",
        "echotwist.probe.idle",
        "echotwist.probe.load",
        "echotwist.probe.mtu",
        "echotwist.probe.paths",
        "echotwist.probe.watch",
        "echotwist.sockets",
        "echotwist.streams",
        "echotwist.telemetry",
        "echotwist.testing",
        "echotwist.workers",
        "twisted.plugins",
    ],
    package_dir={"": "."},
    package_data={
        "echotwist": ["py.typed"],
        "echotwist.fast": ["speedups.pyi"],
        "echotwist.probe": ["schema.json"],
        "echotwist.probe.doctor": ["schema.json"],
        "echotwist.probe.explain": ["schema.json"],
        "echotwist.probe.idle": ["schema.json"],
        "echotwist.probe.mtu": ["schema.json"],
        "echotwist.probe.paths": ["schema.json"],
    },
    # epoll(7) is Linux's, and PyPy would be slower with it.
    ext_modules=[SPEEDUPS]
    if sys.platform == "linux" and sys.implementation.name == "cpython"
    else [],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if STABLE else {},
)
