"""Frames as bytes: JSON for what the file said, safetensors for numbers. Nothing here can execute code."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from adiabat.data.frame import LABELS, Frame
from adiabat.errors import DataError
from adiabat.geometry import System

_SYSTEM = ("positions", "numbers", "cell", "pbc", "charge", "multiplicity")


def encode_info(info: Mapping[str, Any]) -> str:
    """JSON of a frame's info; arrays become lists. Raises DataError for what JSON cannot say."""
    try:
        return json.dumps(dict(info), default=_plain)
    except TypeError as error:
        raise DataError(f"a frame's info cannot be written: {error}.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} is neither number, text nor list")


def decode_info(text: str | bytes) -> dict[str, Any]:
    """The info that `encode_info` wrote."""
    return json.loads(text)


def encode(frame: Frame) -> bytes:
    """A whole frame: four bytes of CRC-32, then safetensors."""
    tensors = {name: getattr(frame.system, name).contiguous() for name in _SYSTEM}
    tensors |= {f"labels.{name}": label.contiguous() for name, label in frame.labels.items()}
    tensors["info"] = torch.frombuffer(bytearray(encode_info(frame.info), "utf-8"), dtype=torch.uint8)
    record = save(tensors)
    return zlib.crc32(record).to_bytes(4, "little") + record


def decode(data: bytes) -> Frame:
    """The frame that `encode` wrote; raises ValueError or KeyError for damaged bytes."""
    if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        raise ValueError("its checksum does not agree")
    try:
        tensors = load(data[4:])
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    system = System.from_arrays(
        tensors["positions"].numpy(),
        tensors["numbers"].numpy(),
        tensors["cell"].numpy(),
        tensors["pbc"].numpy().reshape(3),
        charge=float(tensors["charge"]),
        multiplicity=int(tensors["multiplicity"]),
    )
    labels = {name: tensors[f"labels.{name}"] for name in LABELS if f"labels.{name}" in tensors}
    return Frame(system, labels, decode_info(tensors["info"].numpy().tobytes()))
