"""
The settings of the probes' content, checked once.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import field, frozen

from echotwist.commandline.declaration import Bytes, Number, Seconds, checked, said
from echotwist.probe.common import SecureSettings
from echotwist.probe.kinds import SIZE, SIZES, Picture, Seed
from echotwist.probe.payload import HEADER
from echotwist.sockets.errors import inWords


@frozen(kw_only=True, field_transformer=checked)
class ContentSettings(SecureSettings):
    """
    The settings that say what to send to an echo service; see
    :class:`~echotwist.probe.common.SecureSettings`.

    :param size: bytes of a probe.
    :param timeout: seconds after which a reply is late.
    :param payload: what fills a probe: ``random``, ``zeros``, ``@FILE``, or a text.
    :param seed: makes the payload of one run unlike that of others.
    :param plot: the file to draw a plot into.
    :raise ValueError: for values that do not go together, or a file that cannot be read.
    """

    size: int | None = field(
        default=None,
        metadata=said(
            "size", Number(SIZES), f"bytes of a probe [default: {SIZE}]", short="s", takes="bytes"
        ),
    )
    timeout: float = field(
        default=2.0,
        metadata=said("timeout", Seconds(), "seconds after which a reply is late"),
    )
    payload: bytes = field(
        default=b"random",
        metadata=said("payload", Bytes(), "fill: random, zeros, @FILE or a text", takes="text"),
    )
    seed: str | None = field(
        default=None,
        metadata=said("seed", Seed(), "a text that payloads depend on"),
    )
    plot: str | None = field(
        default=None,
        metadata=said("plot", Picture(), "draw into this .svg or .png file"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        super().__attrs_post_init__()
        if not self.timeout:
            raise ValueError("timeout 0: every reply would be late")
        self.fill()

    def fill(self) -> bytes | None:
        """
        Return the bytes after the header of a probe; ``None`` for random bytes.

        :raise ValueError: the file cannot be read, or is empty.
        """
        if self.payload == b"random":
            return None
        if self.payload == b"zeros":
            return b"\0"
        found = self.payload
        if found.startswith(b"@"):
            try:
                found = Path(os.fsdecode(found[1:])).read_bytes()
            except OSError as error:
                raise ValueError(f"payload {os.fsdecode(self.payload)}: {inWords(error)}") from None
        if not found:
            raise ValueError("payload: empty; --size 24 is a probe that has nothing but its header")
        return found

    @property
    def bytes(self) -> int:
        """
        How many bytes a probe has.
        """
        if self.size is not None:
            return self.size
        fill = self.fill()
        return SIZE if fill in (None, b"\0") else HEADER + len(fill or b"")
