"""HTTP as bytes: whatever the pieces it comes in, the answer is the same; and rubbish is an error or waits for more, never a crash."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.cache.wire import Body, WireError, make_request, take_head


def _answer(pieces: list[bytes]) -> tuple[int, bytes, bytes]:
    """Status and body of an answer, and what follows it.  Raises WireError."""
    buffer, head, body, data = bytearray(), None, None, b""
    for piece in [*pieces, None]:
        if piece is not None:
            buffer += piece
        if body is None:
            head = take_head(buffer)
            body = None if head is None else Body(head)
        if body is not None and not body.is_complete:
            data += body.take(buffer)
            if piece is None and not body.is_complete:
                body.end()
    if head is None:
        raise WireError("ends within the headers")
    return head.status, data, bytes(buffer)


def _chunked(pieces: list[bytes]) -> bytes:
    chunks = b"".join(b"%x;some=thing\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"


def _split(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=8), st.lists(st.integers(0, 1000), max_size=8))
def test_pieces_do_not_matter(data: bytes, places: list[int], chunks: list[int]) -> None:
    whole = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
    assert _answer(_split(whole + b"rest", places)) == (200, data, b"rest")
    assert _answer(_split(_chunked(_split(data, chunks)) + b"rest", places)) == (200, data, b"rest")
    assert _answer(_split(b"HTTP/1.0 200 OK\n\n" + data, places)) == (200, data, b"")


@given(
    st.lists(
        st.sampled_from([b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"\r\n", b"\n", b"5", b"0", b";", b":", b"x" * 9])
    )
)
def test_rubbish_is_an_error(words: list[bytes]) -> None:
    _try([b"".join(words)])


@given(st.lists(st.binary(max_size=60)))
def test_noise_is_an_error(pieces: list[bytes]) -> None:
    _try([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *pieces])
    _try(pieces)


def _try(pieces: list[bytes]) -> None:
    with suppress(WireError):
        _answer(pieces)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n1234567\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/2 200\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x",
    ],
)
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(WireError):
        _answer([answer])


@pytest.mark.parametrize(
    ("head", "kept"), [("HTTP/1.1 200 OK", True), ("HTTP/1.1 200", True), ("HTTP/1.0 200 OK", False), ("HTTP/1.1 404 No\r\nConnection: close", False)]
)
def test_whether_a_connection_is_kept(head: str, kept: bool) -> None:
    found = take_head(bytearray(f"{head}\r\n\r\n".encode()))
    assert found is not None and found.is_kept == kept


@pytest.mark.parametrize("target", ["/a b", "/a\r\nHost: other", "/\x00", "/ä", ""])
def test_no_address_can_forge_a_request(target: str) -> None:
    with pytest.raises(WireError):
        make_request(target, "host", {})
