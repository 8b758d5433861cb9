"""
``python -m echotwist.probe``: the same as ``echoprobe``.
"""

from echotwist.probe.command import main

if __name__ == "__main__":
    main()
