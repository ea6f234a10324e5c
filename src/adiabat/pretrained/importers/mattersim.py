"""MatterSim (arXiv:2405.04967): parameters of its M3GNet under the program's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adiabat.architectures.invariant.m3gnet import M3GNet, M3GNetConfig
from adiabat.errors import CheckpointError
from adiabat.potential import Referenced
from adiabat.pretrained.importers.named_weights import Names, fill
from adiabat.pretrained.kit import Imported, Kit

_NAMES: Names = (
    (r"^first\.", "edge_encoder.mlp.0."),
    (r"^three_body\.(\d+)\.gate\.", r"graph_conv.\1.three_body.atom_mlp."),
    (r"^three_body\.(\d+)\.update\.", r"graph_conv.\1.three_body.edge_gate_mlp."),
    (r"^convolutions\.(\d+)\.bonds\.", r"graph_conv.\1.gated_mlp_edge."),
    (r"^convolutions\.(\d+)\.atoms\.", r"graph_conv.\1.gated_mlp_atom."),
    (r"^convolutions\.(\d+)\.bond_weights\.", r"graph_conv.\1.edge_layer_edge."),
    (r"^convolutions\.(\d+)\.atom_weights\.", r"graph_conv.\1.edge_layer_atom."),
    (r"^head\.", "final."),
    (r"\.values\.", ".g."),
    (r"\.gates\.", ".sigma."),
    (r"\.(weight|bias)$", r".linear.\1"),
)


def from_kit(kit: Kit) -> Imported:
    """The kit's M3GNet, with its reference energies."""
    return Imported({"": read_m3gnet(kit.meta["hyperparameters"], kit.weights())})


def read_m3gnet(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """M3GNet in float64; the shifts of elements are reference energies, eV.

    Args:
        options: the program's num_blocks, units, max_l, max_n, cutoff, threebody_cutoff and max_z.
        weights: state of its M3Gnet.

    Raises:
        CheckpointError: max_l and max_n other than 4, which its smooth basis does not allow; a parameter is missing
            or has another shape.
    """
    if options["max_l"] != 4 or options["max_n"] != 4:
        raise CheckpointError(
            f"max_l {options['max_l']} and max_n {options['max_n']} are not 4: the program's tables have no other."
        )
    config = M3GNetConfig(
        cutoff=options["cutoff"],
        three_body_cutoff=options["threebody_cutoff"],
        channels=options["units"],
        layers=options["num_blocks"],
        basis=options["max_n"],
        degrees=options["max_l"],
        depth=2,
        radial="smooth",
        variant="mattersim",
    )
    numbers = range(1, options["max_z"] + 1)
    model = M3GNet(config, numbers).double()
    # its rows are atomic numbers, from 0
    by_number = {"embedding.table": weights["atom_embedding.mlp.0.linear.weight"].T}
    by_number |= {"scales": weights["normalizer.scale"]}
    fill(model, dict(weights) | by_number, _NAMES, model.elements)
    shifts = weights["normalizer.shift"].double().tolist()
    return Referenced(model, {z: shifts[z] for z in numbers})
