"""
What is installed: the package and, in Twisted's own folder, the plugin.

The packages are named one by one, because ``find_packages`` passes over
``twisted.plugins``, which is a folder without ``__init__.py``.  The explicit
``package_dir`` lets ``pip install -e .`` put this folder on the path, so that
``twistd`` sees the plugin there too.
"""

from setuptools import setup

setup(
    packages=[
        "echotwist",
        "echotwist.commandline",
        "echotwist.datagrams",
        "echotwist.fast",
        "echotwist.impair",
        "echotwist.listening",
        "echotwist.monitoring",
        "echotwist.probe",
        "echotwist.probe.doctor",
        "echotwist.sockets",
        "echotwist.streams",
        "echotwist.telemetry",
        "echotwist.workers",
        "twisted.plugins",
    ],
    package_dir={"": "."},
    package_data={
        "echotwist": ["py.typed"],
        "echotwist.probe": ["schema.json"],
        "echotwist.probe.doctor": ["schema.json"],
    },
)
