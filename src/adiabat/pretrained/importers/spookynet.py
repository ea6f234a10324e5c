"""SpookyNet (doi:10.1038/s41467-021-27504-0): parameters under the program's names, D4's reference data with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase
import torch
from torch import Tensor

from adiabat.architectures.equivariant.spookynet import SpookyNet, SpookyNetConfig
from adiabat.errors import CheckpointError
from adiabat.nn.electron_configurations import LAST
from adiabat.pretrained.importers.named_weights import Names, check_options, fill
from adiabat.pretrained.kit import Imported, Kit

_NAMES: Names = (
    (r"^embedding\.free\.table$", "nuclear_embedding.element_embedding"),
    (r"^embedding\.configurations$", "nuclear_embedding.electron_config"),
    (r"^embedding\.linear\.", "nuclear_embedding.config_linear."),
    (r"^electrons\.0\.", "charge_embedding."),
    (r"^electrons\.1\.", "magmom_embedding."),
    (r"(embedding)\.queries\.", r"\1.linear_q."),
    (r"(embedding)\.keys\.", r"\1.linear_k."),
    (r"(embedding)\.values\.", r"\1.linear_v."),
    (r"(embedding)\.network\.", r"\1.resblock."),
    (r"^edges\.basis\.gamma$", "radial_basis_functions._alpha"),
    (r"^edges\.basis\.logarithms$", "radial_basis_functions.logc"),
    (r"^interactions\.", "module."),
    (r"\.before\.", ".residual_pre.stack."),
    (r"\.after\.", ".residual_post.stack."),
    (r"^(module\.\d+)\.output\.", r"\1.resblock."),
    (r"\.attention\.directions$", ".nonlocal_interaction.attention.omega"),
    (r"\.asked\.0\.", ".nonlocal_interaction.resblock_q."),
    (r"\.asked\.1\.", ".nonlocal_interaction.resblock_k."),
    (r"\.asked\.2\.", ".nonlocal_interaction.resblock_v."),
    (r"\.local\.own\.", ".local_interaction.resblock_x."),
    (r"\.local\.(sent|radial)\.0\.", r".local_interaction.\1_s."),
    (r"\.local\.(sent|radial)\.1\.", r".local_interaction.\1_p."),
    (r"\.local\.(sent|radial)\.2\.", r".local_interaction.\1_d."),
    (r"\.sent_([spd])\.", r".resblock_\1."),
    (r"\.local\.projections\.0\.", ".local_interaction.projection_p."),
    (r"\.local\.projections\.1\.", ".local_interaction.projection_d."),
    (r"\.local\.network\.", ".local_interaction.resblock."),
    (r"\.blocks\.", ".residual.stack."),
    (r"\.activations\.0\.", ".activation1."),
    (r"\.activations\.1\.", ".activation2."),
    (r"\.layers\.0\.", ".linear1."),
    (r"\.layers\.1\.", ".linear2."),
    (r"\.last\.", ".linear."),
    (r"^bias\.table$", "element_bias"),
    (r"^repulsion\.", "zbl_repulsion_energy."),
    (r"^dispersion\.", "d4_dispersion_energy."),
)
_D4 = "d4_dispersion_energy."
_ZBL = "zbl_repulsion_energy."
# what the program may be told and the page has in one form
_ONE_FORM = {
    "activation": "swish",
    "basis_functions": "exp-bernstein",
    "exp_weighting": True,
    "use_irreps": True,
    "use_nonlinear_embedding": False,
}
NO_PERIODIC_FORM = "without lr_cutoff the program's charges and dispersion have no periodic form, nor have ours"


def from_kit(kit: Kit) -> Imported:
    """The kit's model, in eV, for the elements that it names or for all up to radon."""
    elements = sorted(kit.meta.get("elements", range(1, LAST + 1)))
    model = read_spookynet(kit.meta["hyperparameters"], _tables(kit) | kit.weights(), elements)

    def differs(atoms: ase.Atoms) -> str:
        return NO_PERIODIC_FORM if model.everywhere and atoms.pbc.any() else ""

    return Imported({"": model}, differs=differs)


def _tables(kit: Kit) -> dict[str, Tensor]:
    """D4's largest table from the kit beside, for the kit of the published weights, which leaves it out."""
    other = Kit(kit.path.parent / "spookynet")
    if kit.given is not None or f"{_D4}alphaiw" in kit.weights() or not (other.path / "meta.json").exists():
        return {}
    return {f"{_D4}alphaiw": other.weights()[f"{_D4}alphaiw"]}


def read_spookynet(
    options: Mapping[str, Any], weights: Mapping[str, Tensor], elements: Sequence[int] = range(1, LAST + 1)
) -> SpookyNet:
    """SpookyNet in float64.

    Args:
        options: the program's arguments.
        weights: state of its model, tables of D4 included.
        elements: atomic numbers whose rows are kept.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape.
    """
    check_options(options, _ONE_FORM, "SpookyNet")
    blocks = {name: value for name, value in options.items() if name.startswith("num_residual")}
    if len(set(blocks.values())) != 1:
        raise CheckpointError(
            f"the networks have different numbers of residual blocks ({blocks}), and the page has one for all."
        )
    omega = "module.0.nonlocal_interaction.attention.omega"
    if omega not in weights or weights[omega].dim() != 2:
        raise CheckpointError(f"the weights have no random features '{omega}': only approximate attention is read.")
    config = SpookyNetConfig(
        cutoff=options["cutoff"],
        reach=options["lr_cutoff"],
        channels=options["num_features"],
        layers=options["num_modules"],
        basis=options["num_basis_functions"],
        residual=next(iter(blocks.values())),
        guard=1e-8,
        features=weights[omega].shape[1],
        repulsion=options["use_zbl_repulsion"],
        electrostatics=options["use_electrostatics"],
        dispersion=options["use_d4_dispersion"],
    )
    model = SpookyNet(config, elements).double()
    kept = {name: value.double() if value.is_floating_point() else value for name, value in weights.items()}
    for name in ("nuclear_embedding.element_embedding", "nuclear_embedding.electron_config", "element_bias"):
        kept[name] = kept[name][list(elements)]
    if config.repulsion:
        kept |= _repulsion(kept)
    if config.dispersion:
        if f"{_D4}alphaiw" not in kept:
            raise CheckpointError(f"the weights have no '{_D4}alphaiw', the polarizabilities that dispersion needs.")
        kept |= _dispersion(kept, list(elements))
    fill(model, kept, _NAMES, model.elements)
    return model


def _repulsion(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its constants in the page's rows."""
    rows = {
        "scale": ("adiv",),
        "power": ("apow",),
        "factors": ("c1", "c2", "c3", "c4"),
        "rates": ("a1", "a2", "a3", "a4"),
    }
    return {_ZBL + own: torch.cat([weights[f"{_ZBL}_{name}"] for name in names]) for own, names in rows.items()}


def _dispersion(weights: Mapping[str, Tensor], elements: list[int]) -> dict[str, Tensor]:
    """D4's tables for these elements; what a reference system's other atoms are is looked up here, once for all."""
    table = {name.removeprefix(_D4): value for name, value in weights.items() if name.startswith(_D4)}
    partner = table["refsys"][elements]
    scale, counts = table["ascale"][elements][:, :, None], table["hcount"][elements][:, :, None]
    found = {
        "radii": table["rcov"][elements],
        "negativities": table["en"][elements],
        "charges": table["zeff"][elements],
        "hardness": table["gam"][elements],
        "ratios": table["sqrt_r4r2"][elements],
        "fallback": table["fixgweights"][elements],
        "reference_charges": table["refq"][elements],
        "counts": table["cn"][elements],
        "count_widths": table["ncount_weight"][elements],
        "count_mask": table["ncount_mask"][elements],
        "polarizabilities": scale * table["alphaiw"][elements],
        "partners": scale * counts * table["sscale"][partner][:, :, None] * table["secaiw"][partner],
        "partner_charges": table["zeff"][partner],
        "partner_hardness": table["gam"][partner],
        "partner_shifts": table["refh"][elements],
        "frequency_weights": table["casimir_polder_weights"],
        "damping": torch.stack([table[f"_{name}"] for name in ("s8", "a1", "a2")]),
        "s6": torch.nn.functional.softplus(table["_s6"]),
        "charge_scale": table["_scaleq"],
    }
    return {_D4 + name: value for name, value in found.items()}
