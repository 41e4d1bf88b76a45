"""ONNX models of one node, written as protobuf by hand: the onnx package is none of ours."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

FLOAT, TENSOR = 1, 4
"""TensorProto.DataType and AttributeProto.AttributeType."""


def through(path: Path, shape: Sequence[int], factor: float = 1.0) -> Path:
    """A model that takes (batch, *shape) and gives it back, times `factor`."""
    scalar = _integer(2, FLOAT) + _bytes(9, struct.pack("<f", factor))  # TensorProto: data_type, raw_data
    constant = _bytes(1, b"value") + _bytes(5, scalar) + _integer(20, TENSOR)
    nodes = _bytes(1, _bytes(2, b"factor") + _bytes(4, b"Constant") + _bytes(5, constant))
    nodes += _bytes(1, _bytes(1, b"input") + _bytes(1, b"factor") + _bytes(2, b"output") + _bytes(4, b"Mul"))
    graph = nodes + _bytes(2, b"through") + _bytes(11, _info("input", shape)) + _bytes(12, _info("output", shape))
    opset = _bytes(1, b"") + _integer(2, 13)
    path.write_bytes(_integer(1, 8) + _bytes(7, graph) + _bytes(8, opset))
    return path


def _info(name: str, shape: Sequence[int]) -> bytes:
    """ValueInfoProto; the batch may be any number."""
    dimensions = _bytes(1, _bytes(2, b"batch")) + b"".join(_bytes(1, _integer(1, size)) for size in shape)
    tensor = _integer(1, FLOAT) + _bytes(2, dimensions)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _integer(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    """A field of bytes, text or another message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content
