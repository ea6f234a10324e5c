"""How programs on e3nn keep equivariant weights: a row of numbers for a map, matrices of irreps one after the other.

Layers are NequIP's interaction blocks, which several programs have under different names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.nn.clebsch_gordan import wigner_3j
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import Irrep, Irreps
from adiabat.nn.mixed_product import Coupling, MixedTensorProduct


def e3nn_order(irreps: Iterable[Irrep]) -> list[Irrep]:
    """As e3nn sorts irreps: by l, the odd one first."""
    return sorted(set(irreps), key=lambda ir: (ir.l, ir.parity))


def in_e3nn_order(irreps: Irreps) -> Irreps:
    """The same terms in e3nn's order."""
    return Irreps(tuple((irreps.count(ir), ir) for ir in e3nn_order(ir for _, ir in irreps)))


def copy(target: Tensor, source: Tensor) -> None:
    """Fills a parameter.

    Raises:
        CheckpointError: the shapes differ.
    """
    if target.shape != source.shape:
        raise CheckpointError(
            f"a tensor of the model has shape {tuple(source.shape)} where the page has {tuple(target.shape)}:"
            " do the hyperparameters belong to these weights?"
        )
    target.copy_(source)


def created_couplings(irreps_in: Irreps, irreps_edge: Irreps, irreps_out: Irreps) -> list[tuple[int, Coupling]]:
    """Multiplicity and irreps of each path in the order in which NequIP's program makes them."""
    wanted = {ir for _, ir in irreps_out}
    return [(m, (x, y, z)) for m, x in irreps_in for _, y in irreps_edge for z in x * y if z in wanted]


def sorted_couplings(couplings: Sequence[tuple[int, Coupling]]) -> list[tuple[int, Coupling]]:
    """The same by what they make, in e3nn's order."""
    return sorted(couplings, key=lambda c: (c[1][2].l, c[1][2].parity))


def channels_of(ours: Sequence[tuple[int, Coupling]], theirs: Sequence[tuple[int, Coupling]]) -> Tensor:
    """Where each of our channels is among theirs.

    Raises:
        CheckpointError: a path of ours is not among theirs.
    """
    begins, start = {}, 0
    for multiplicity, path in theirs:
        begins[path] = start
        start += multiplicity
    for _, (left, right, out) in (c for c in ours if c[1] not in begins):
        raise CheckpointError(f"the program has no product of {left} with {right} to {out}.")
    parts = [torch.arange(begins[path], begins[path] + multiplicity) for multiplicity, path in ours]
    return torch.cat(parts)


def rows_of(product: MixedTensorProduct, theirs: Sequence[tuple[int, Coupling]]) -> dict[Irrep, Tensor]:
    """For each irrep that a product makes, where each of our channels is in their block of that irrep."""
    ours = product.couplings()

    def making(couplings: Sequence[tuple[int, Coupling]], irrep: Irrep) -> list[tuple[int, Coupling]]:
        return [c for c in couplings if c[1][2] == irrep]

    return {ir: channels_of(making(ours, ir), making(theirs, ir)) for _, ir in product.irreps_out}


def signs(product: MixedTensorProduct, weights: Mapping[str, Tensor], start: str) -> Tensor:
    """±1 for each of our channels: e3nn has changed the sign of some couplings, and stored models keep theirs.

    Args:
        product: ours.
        weights: the program's tensors; where they lack couplings, the signs are those of today.
        start: name of the program's product.
    """
    found = []
    for multiplicity, path in product.couplings():
        degrees = [ir.l for ir in path]
        theirs = weights.get(f"{start}._compiled_main_left_right._w3j_" + "_".join(map(str, degrees)))
        ours = wigner_3j(degrees[0], degrees[1], degrees[2])
        same = theirs is None or float((theirs.numpy() * ours).sum()) > 0
        found += [1.0 if same else -1.0] * multiplicity
    return torch.tensor(found, dtype=torch.float64)


def matrices(flat: Tensor, irreps_in: Irreps, irreps_out: Irreps, attributes: int = 0) -> dict[Irrep, Tensor]:
    """The matrices of an equivariant map `[multiplicity in, (attributes,) multiplicity out]`.

    Args:
        flat: all numbers in a row, in the order of the input's irreps.
        irreps_in: of the input, in the program's order.
        irreps_out: of the output.
        attributes: number of scalars that the input is multiplied with, 0 for a plain linear map.

    Raises:
        CheckpointError: there are more or fewer numbers than that.
    """
    found, start = {}, 0
    for multiplicity, ir in irreps_in:
        if not irreps_out.count(ir):
            continue
        shape = (multiplicity, *([attributes] if attributes else []), irreps_out.count(ir))
        size = int(torch.tensor(shape).prod())
        if start + size <= len(flat):
            found[ir] = flat[start : start + size].reshape(shape)
        start += size
    if start != len(flat):
        raise CheckpointError(
            f"a linear map of the model has {len(flat)} weights where the page has {start}: do the hyperparameters"
            " belong to these weights?"
        )
    return found


def fill_linear(
    layer: EquivariantLinear, found: dict[Irrep, Tensor], rows: dict[Irrep, Tensor] | None = None
) -> None:
    """Copies matrices, whose rows may be in another order; those that our layer does not need are left out."""
    for name, target in layer.weights.items():
        ir = Irreps.parse(name).terms[0][1]
        copy(target, found[ir] if rows is None else found[ir][rows[ir]])


def fill_element_linear(layer: ElementLinear, found: dict[Irrep, Tensor], attributes: Tensor) -> None:
    """Copies matrices, multiplied with each element's attributes `[elements, attributes]`."""
    norm = (layer.elements / attributes.shape[1]) ** 0.5
    for name, target in layer.weights.items():
        copy(target, norm * torch.einsum("za,uaw->zuw", attributes, found[Irreps.parse(name).terms[0][1]]))
