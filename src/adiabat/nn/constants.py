"""Constant tensors that keep float64 accuracy whatever type a module is made in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class ConstantModule(nn.Module):
    """A module whose constants are rounded anew from float64 each time its floating-point type changes.

    Coupling coefficients made in float32 and then moved to float64 would break rotational symmetry at 1e-7.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, np.ndarray] = {}

    def register_constant(self, name: str, values: np.ndarray, persistent: bool = False) -> None:
        """A buffer with the values of a float64 array; `persistent` if it is saved with the weights."""
        self._exact[name] = np.array(values, dtype=np.float64)
        self.register_buffer(name, torch.tensor(values, dtype=torch.get_default_dtype()), persistent=persistent)

    def set_constant(self, name: str, values: np.ndarray) -> None:
        """Replaces the values; the shape must stay."""
        self._exact[name] = np.array(values, dtype=np.float64)
        buffer = self.get_buffer(name)
        buffer.copy_(torch.as_tensor(self._exact[name]).to(buffer))

    def _apply(self, fn: Any, recurse: bool = True) -> ConstantModule:
        super()._apply(fn, recurse)
        for name, values in self._exact.items():
            buffer = self.get_buffer(name)
            if buffer.device.type != "meta":
                setattr(self, name, torch.as_tensor(values).to(buffer))
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, *args, **kwargs)
        for name in self._exact:
            buffer = self.get_buffer(name)
            if not torch.equal(buffer, torch.as_tensor(self._exact[name]).to(buffer)):
                self._exact[name] = buffer.detach().double().cpu().numpy()
