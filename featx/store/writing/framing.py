"""Records on a stream, each with kind, length and CRC-32: what a journal consists of."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from featx.store.deflate import crc32
from featx.store.schema import JOURNAL_MAGIC

_HEADER = struct.Struct("<4sQI")  # kind, bytes of the payload, their CRC-32
HEAD, ROWS = b"HEAD", b"ROWS"


class UnusableError(Exception):
    """A journal that ends before its first record does."""


def write_framed(stream: BinaryIO, kind: bytes, payload: bytes) -> None:
    """Write a record where the stream stands; on an OSError part of it may be written."""
    write_all(stream, _HEADER.pack(kind, len(payload), crc32(payload)))
    write_all(stream, payload)


def read_head(stream: BinaryIO) -> dict[str, Any]:
    """Return the first record of a journal, leaving the stream behind it.

    Raises
    ------
    UnusableError
        If it is not whole.
    """
    if stream.read(len(JOURNAL_MAGIC)) != JOURNAL_MAGIC:
        raise UnusableError("it does not begin as a journal does")
    payload = read_framed(stream, HEAD)
    if payload is None:
        raise UnusableError("its first record is not whole")
    head: dict[str, Any] = json.loads(payload)
    return head


def statuses(stream: BinaryIO) -> Iterator[list[str]]:
    """Yield the statuses of each whole record behind the head, without unpacking the values."""
    while (payload := read_framed(stream, ROWS)) is not None:
        (size,) = struct.unpack_from("<Q", payload)
        yield json.loads(payload[8 : 8 + size])["status"]


def count_rows(stream: BinaryIO) -> int:
    """Return how many rows follow the head, by the records' lengths: no values are read."""
    rows, size = 0, os.fstat(stream.fileno()).st_size
    while len(header := _read_all(stream, _HEADER.size)) == _HEADER.size:
        kind, length, _ = _HEADER.unpack(header)
        end = stream.tell() + length
        if kind != ROWS or end > size:
            break
        (text,) = struct.unpack("<Q", _read_all(stream, 8))
        rows += len(json.loads(_read_all(stream, text))["status"])
        stream.seek(end)
    return rows


def read_framed(stream: BinaryIO, kind: bytes) -> bytes | None:
    """Return the payload of the next record, None where no whole one of that kind follows."""
    header = _read_all(stream, _HEADER.size)
    if len(header) < _HEADER.size:
        return None
    found, length, crc = _HEADER.unpack(header)
    if found != kind or length > os.fstat(stream.fileno()).st_size - stream.tell():
        return None
    payload = _read_all(stream, length)
    return payload if len(payload) == length and crc32(payload) == crc else None


def _read_all(stream: BinaryIO, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size and (part := stream.read(size - len(parts))):
        parts += part
    return bytes(parts)


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write all of it, in as many calls as an unbuffered stream takes."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]
