"""
Requests and replies: as much of HTTP/1.1 (RFC 9110, RFC 9112) as pages need (pure).
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus

from attrs import frozen

#: Bytes of a request without its body.
LONGEST_HEAD = 16_384

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) HTTP/(\d)\.\d\r?\n" % _TOKEN)
_FIELDS = re.compile(rb"(?:%b:[^\0\r\n]*\r?\n)*\r?\n" % _TOKEN)
_BODY = re.compile(
    rb"^(?:transfer-encoding:|content-length:(?![ \t]*(?:0+[ \t]*)?\r?$))", re.I | re.M
)
_ACCEPT = re.compile(rb"^accept:[ \t]*([^\r\n]*)", re.I | re.M)
_END = re.compile(rb"\n\r?\n")
_ORIGIN = re.compile(rb"(?i)https?://[^/?#]*")


class RequestError(Exception):
    """
    A request that no page can answer.

    :param status: the status that says why.
    """

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


@frozen
class Request:
    """
    A request for a page.

    :param path: the path of the page, without a query.
    :param withBody: whether the reply has a body; it has none for ``HEAD``.
    :param accept: the field ``Accept``: the media types that the client prefers (RFC 9110,
        section 12.5.1).
    """

    path: bytes
    withBody: bool
    accept: bytes = b""


@frozen
class Reply:
    """
    A reply to a request.

    :param body: the page.
    :param contentType: the media type of the page.
    """

    body: bytes
    contentType: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK

    @classmethod
    def of(cls, status: HTTPStatus) -> Reply:
        """
        Make a reply that only tells a status.
        """
        return cls(f"{status.value} {status.phrase}\n".encode("ascii"), status=status)

    def toBytes(self, withBody: bool) -> bytes:
        """
        Format the reply as bytes for the peer.
        """
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {self.contentType}",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
        ]
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")
        return head + self.body if withBody else head


def parse(head: bytes) -> tuple[Request, bytes] | None:
    """
    Parse a request.

    :param head: the bytes so far, from the request line on.
    :return: the request and the bytes after it; ``None`` while it is not whole.
    :raise RequestError: as soon as it is clear that no page can answer it.
    """
    start = head[:LONGEST_HEAD]
    line, newline, _ = start.partition(b"\n")
    found = _REQUEST_LINE.fullmatch(line + newline)
    if start and not found and (newline or not start[:1].isalpha()):
        raise RequestError(HTTPStatus.BAD_REQUEST)
    if found and found[3] != b"1":
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    end = _END.search(start)
    if not (found and end):
        if len(head) < LONGEST_HEAD:
            return None
        tooLong = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        raise RequestError(tooLong if found else HTTPStatus.REQUEST_URI_TOO_LONG)
    return _request(found, start[found.end() : end.end()]), head[end.end() :]


def _request(found: re.Match[bytes], fields: bytes) -> Request:
    method, target, _ = found.groups()
    if not _FIELDS.fullmatch(fields):
        raise RequestError(HTTPStatus.BAD_REQUEST)
    if method not in (b"GET", b"HEAD"):
        raise RequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    if _BODY.search(fields):
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    path = _ORIGIN.sub(b"", target, count=1).partition(b"?")[0]
    accepted = b",".join(_ACCEPT.findall(fields))
    return Request(path, method == b"GET", accepted)
