"""SevenNet's files (doi:10.1021/acs.jctc.4c00190): checkpoints (.pth) and the models deployed for LAMMPS (.pt).

A checkpoint has the program's own names and options. A deployed model is TorchScript whose parameters became nameless
constants, in the order in which the program uses them; of its code only one number is read, as text: where the cutoff
function begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from ase.data import atomic_numbers
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_KEPT = (str, int, float, bool, list, tuple, dict, type(None))


def recognize(source: Source) -> bool:
    """A checkpoint, or a deployed model for one process."""
    if source.kind == "torchscript":
        return (
            source.class_name == "AtomGraphSequential" and "extra/chemical_symbols_to_index" in source.archive.entries
        )
    if source.kind != "torch" or not isinstance(source.content, dict):
        return False
    config = source.content.get("config")
    return isinstance(config, dict) and config.get("_model_type") == "E3_equivariant_model"


def read(source: Source) -> Kit:
    """The model; eV, Å.

    Raises:
        CheckpointError: the file is incomplete, or a deployed model of another form than the released ones.
    """
    if source.kind == "torchscript":
        weights, options = _deployed(source)
    else:
        weights, options = _checkpoint(source)
    meta = {"method": "sevennet", "program": "SevenNet", "hyperparameters": options}
    return Kit.of("sevennet", meta, weights, path=source.path)


def _checkpoint(source: Source) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = source.content.get("model_state_dict")
    if not isinstance(state, dict):
        raise CheckpointError(f"{source.path} has no model_state_dict: is it a checkpoint of sevenn?")
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    options = {name: value for name, value in source.content["config"].items() if isinstance(value, _KEPT)}
    return weights, {"_normalize_sph": False} | options  # the first release took harmonics of the vectors themselves


def _deployed(source: Source) -> tuple[dict[str, Tensor], dict[str, Any]]:
    archive = source.archive
    constants = [value for value in _items(source.constants) if isinstance(value, Tensor)]
    symbols = archive.text("extra/chemical_symbols_to_index").split()
    unknown = [symbol for symbol in symbols if symbol not in atomic_numbers]
    if unknown or not symbols:
        raise CheckpointError(f"{source.path} lists '{unknown[0] if unknown else ''}' where element symbols belong.")
    options: dict[str, Any] = {
        "version": archive.text("extra/version").strip(),
        "cutoff": _number(source, archive.text("extra/cutoff")),
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": _onset(source)},
        "_type_map": {atomic_numbers[symbol]: place for place, symbol in enumerate(symbols)},
        "is_parity": False,
        "self_connection_type": "linear",
    }
    parts = _Parts(source, constants)
    weights, shapes = parts.weights(len(symbols))
    return weights, options | shapes


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _number(source: Source, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CheckpointError(
            f"{source.path} gives '{text[:40]}' as its cutoff, where a number in Å belongs."
        ) from None


def _onset(source: Source) -> float:
    """Where the X-PLOR function begins: the one distance that the code compares with."""
    code = "".join(source.archive.text(name) for name in source.archive.entries if name.endswith(".py"))
    found = {float(number) for number in re.findall(r"torch\.lt\(r, (\d+\.\d*)\)", code)}
    if len(found) != 1:
        raise CheckpointError(f"{source.path} has no X-PLOR cutoff function: only such deployed models are read.")
    return found.pop()


class _Parts:
    """Gives names to the constants of a deployed model.

    Args:
        source: the file, for messages.
        constants: in the order of their use; equal ones are there once.
    """

    def __init__(self, source: Source, constants: Sequence[Tensor]):
        self.source = source
        self.vectors = [value for value in constants if value.dim() == 1]
        self.couplings = [value for value in constants if value.dim() == 3]
        self.matrices = [value for value in constants if value.dim() == 2]

    def weights(self, types: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors by the program's names, and what their shapes tell.

        Raises:
            CheckpointError: they are not those of equivariant layers without parity, with linear self-connections.
        """
        if len(self.matrices) < 10 or self.matrices[0].shape[0] != types or len(self.vectors) < 4:
            raise self._unknown()
        channels = self.matrices[0].shape[1]
        # layer 0 has two maps of scalars, three matrices of the radial network, then one map for each degree
        degrees, rest = divmod(self.matrices[5].shape[1], channels)
        # those between have three maps for each degree; the first, the last and the rest of the model 13 more
        between, left = divmod(len(self.matrices) - 13 - 2 * degrees, 3 * degrees + 3)
        if rest or left or degrees < 1 or between < 0:
            raise self._unknown()
        layers = between + 2
        own = [value for value in self.vectors if value.shape[0] == types]
        denominators = [value for value in self.vectors[1:] if value.shape[0] == 1 and types > 1]
        if len(own) != 2 or len(denominators) not in (1, layers):
            raise self._unknown()
        found = {"edge_embedding.basis_function.coeffs": self.vectors[0]}
        found |= {f"rescale_atomic_energy.{name}": value for name, value in zip(("scale", "shift"), own, strict=True)}
        for place in range(layers):
            found[f"{place}_convolution.denominator"] = denominators[place % len(denominators)]
            for value in self.couplings:
                name = "_".join(str(size // 2) for size in value.shape)
                found[f"{place}_convolution.convolution._compiled_main_left_right._w3j_{name}"] = value
        for name, group in self._names(layers, degrees):
            found[name] = self._taken(name, group)
        return found, self._shapes(layers, degrees, channels)

    def _names(self, layers: int, degrees: int) -> Iterator[tuple[str, list[Tensor]]]:
        """Each map of the program with its matrices."""
        rest = iter(self.matrices)

        def take(count: int) -> list[Tensor]:
            return [next(rest) for _ in range(count)]

        yield "onehot_to_feature_x.linear.weight", take(1)
        for place in range(layers):
            first, last = place == 0, place == layers - 1
            yield f"{place}_self_connection_intro.linear.weight", take(1 if first or last else degrees)
            yield f"{place}_self_interaction_1.linear.weight", take(1 if first else degrees)
            for depth in range(3):
                yield f"{place}_convolution.weight_nn.layer{depth}.weight", take(1)
            yield f"{place}_self_interaction_2.linear.weight", take(1 if last else degrees)
        yield "reduce_input_to_hidden.linear.weight", take(1)
        yield "reduce_hidden_to_energy.linear.weight", take(1)

    @staticmethod
    def _taken(name: str, group: list[Tensor]) -> Tensor:
        """As the program stores them: in a row, and those of radial networks before their division by √inputs."""
        if ".weight_nn." in name:
            return group[0] * group[0].shape[0] ** 0.5
        return torch.cat([value.flatten() for value in group])

    def _shapes(self, layers: int, degrees: int, channels: int) -> dict[str, Any]:
        """The options that the shapes of layer 0 tell."""
        widths = [value.shape[1] for value in self.matrices[6 : 6 + degrees]]
        counts = [widths[0] - sum(widths[1:]), *widths[1:]]
        hidden = "+".join(f"{count}x{l}e" for l, count in enumerate(counts))
        radial = self.matrices[3:6]
        if min(counts) < 1 or any(a.shape[1] != b.shape[0] for a, b in pairwise(radial)):
            raise self._unknown()
        return {
            "irreps_manual": [f"{channels}x0e", *[hidden] * (layers - 1), f"{counts[0]}x0e"],
            "channel": channels,
            "lmax": degrees - 1,
            "num_convolution_layer": layers,
            "weight_nn_hidden_neurons": [value.shape[1] for value in radial[:-1]],
            "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": radial[0].shape[0]},
        }

    def _unknown(self) -> CheckpointError:
        return CheckpointError(
            f"{self.source.path} is a deployed model of another form than SevenNet-0: give its checkpoint (.pth)."
        )
