"""FCHL18 representations and kernels of qmllib (doi:10.1063/1.5020710)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.geometry import Graph, System
from adiabat.nn.fchl18 import FCHL18Config, SimilarityConfig, Surroundings, Terms, similarity
from adiabat.pretrained.kit import Imported, Kit

EMPTY = 1e100
"""Distance of neighbors that are not there."""
_SIGMAS = (SimilarityConfig(sigma=2.5), SimilarityConfig(sigma=10.0))
_PLAIN = FCHL18Config()
# the kit names its options without their values: those that give its numbers
_OPTIONS = {
    "default": _PLAIN,
    "noalch": FCHL18Config(alchemy=False),
    "nondefault": FCHL18Config(
        radial_power=3.5, radial_weight=1.5, radial_width=0.25, angular_power=2.5, angular_weight=1.2
    ),
}
_FORMS = {
    "linear": SimilarityConfig(form="linear"),
    "polynomial": SimilarityConfig(form="polynomial", constant=1.0, power=2.0),
    "sigmoid": SimilarityConfig(form="sigmoid", alpha=0.01),
    "cauchy": SimilarityConfig(form="cauchy", sigma=5.0),
    "matern": SimilarityConfig(form="matern", sigma=5.0, power=2.0),
    "bessel": SimilarityConfig(form="bessel", sigma=5.0, degree=2, power=1.0),
}


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's representations and kernels, of all its structures at once."""
    names = [str(name) for name in kit.outputs()["names"]]

    def arrays(structures: Mapping[str, ase.Atoms]) -> Mapping[str, np.ndarray]:
        every = [structures[name] for name in names]
        found = {"representation": np.stack([representation(atoms, max(map(len, every))) for atoms in every])}
        for name, config in _OPTIONS.items():
            overlaps = Overlaps(config, every)
            local, whole = zip(*((overlaps.local(one), overlaps.whole(one)) for one in _SIGMAS), strict=True)
            found[f"kernel/get_local_symmetric_kernels/{name}"] = np.stack(local)
            found[f"kernel/get_global_symmetric_kernels/{name}"] = np.stack(whole)
        plain = Overlaps(_PLAIN, every)
        found |= {f"kernel/local_{name}": plain.local(form)[None] for name, form in _FORMS.items()}
        found["kernel/atomic_symmetric"] = plain.atomic(_SIGMAS[0])[None]
        return found | {"kernel/local_cut5": Overlaps(FCHL18Config(fade=0.5), every).local(_SIGMAS[0])[None]}

    return Imported({}, together=arrays)


def representation(atoms: ase.Atoms, size: int, cutoff: float = 5.0) -> np.ndarray:
    """The program's representation `[size, 5, size]`: for each atom the distances, charges and vectors (Å) of itself
    and its neighbors."""
    around = Surroundings.of(Graph.build(System.from_ase(atoms), cutoff))
    out = np.zeros((size, 5, size))
    out[:, 0] = EMPTY
    count, most = around.neighbors.shape
    there = around.neighbors.numpy() > 0
    out[:count, 0, 0], out[:count, 1, 0] = 0.0, around.numbers.numpy()
    out[:count, 0, 1 : 1 + most] = np.where(there, around.vectors.norm(dim=2).numpy(), EMPTY)
    out[:count, 1, 1 : 1 + most] = around.neighbors.numpy()
    out[:count, 2:, 1 : 1 + most] = around.vectors.numpy().transpose(0, 2, 1)
    return out


class Overlaps:
    """Scalar products of all atoms of some structures, and kernels of them."""

    def __init__(self, config: FCHL18Config, structures: Sequence[ase.Atoms]):
        made = config.build(int(z) for atoms in structures for z in atoms.numbers)
        graphs = [Graph.build(System.from_ase(atoms), config.cutoff) for atoms in structures]
        terms: Terms = made.terms(Surroundings.of(Graph.batch(graphs)))
        self.products, self.selves = made.products(terms, terms), made.selves(terms)
        self.owner = torch.repeat_interleave(torch.tensor([len(atoms) for atoms in structures]))

    def atomic(self, form: SimilarityConfig) -> np.ndarray:
        """Kernel of all atoms `[atoms, atoms]`."""
        return similarity(form, self.selves, self.selves, self.products).numpy()

    def local(self, form: SimilarityConfig) -> np.ndarray:
        """Sums of the atoms' kernels `[structures, structures]`."""
        return self._summed(similarity(form, self.selves, self.selves, self.products)).numpy()

    def whole(self, form: SimilarityConfig) -> np.ndarray:
        """Kernel of the sums of atoms' distributions `[structures, structures]`."""
        products = self._summed(self.products)
        return similarity(form, products.diag(), products.diag(), products).numpy()

    def _summed(self, values: Tensor) -> Tensor:
        count = int(self.owner.max()) + 1
        rows = values.new_zeros((count, len(values))).index_add(0, self.owner, values)
        return values.new_zeros((count, count)).index_add(1, self.owner, rows)
