"""Importers: one module a program, each turns that program's weights into an adiabat potential."""

from __future__ import annotations

from importlib import import_module

from adiabat.pretrained.kit import Importer, Kit

# start of a kit's name -> module here; the longest match wins
_MODULES = {
    "schnet": "schnetpack",
    "schnet-pyg": "pyg",
    "painn": "schnetpack",
    "mace": "mace",
    "nequip": "nequip",
    "sevennet": "sevenn",
    "graphpes-nequip": "graphpes_nequip",
    "n2p2": "n2p2",
    "ani": "ani",
    "sgdml": "sgdml",
    "nep": "nep",
    "qnep": "nep",
    "snap": "snap",
    "classical": "classical",
    "ace": "ace",
    "snap-bispectrum": "snap_bispectrum",
    "tensornet": "torchmdnet",
    "matgl-tensornet": "matgl",
    "matgl-so3net": "matgl",
    "so3net": "schnetpack",
    "chgnet": "chgnet",
    "matgl-chgnet": "matgl_chgnet",
    "matgl-m3gnet": "matgl",
    "matgl-megnet": "matgl",
    "gap": "quip",
    **dict.fromkeys(("quippy", "dscribe-soap", "featomic-soap"), "soap"),
    **dict.fromkeys(("featomic-spherical", "featomic-lode"), "featomic"),
    "dscribe-acsf": "dscribe_acsf",
    **dict.fromkeys(("dscribe-matrices", "dscribe-mbtr", "dscribe-lmbtr", "dscribe-valle"), "dscribe_terms"),
    "mattersim": "mattersim",
    "spookynet": "spookynet",
    "qml-fchl18": "qmllib_fchl18",
    "qml-fchl19": "qmllib",
    **dict.fromkeys(("qml-bob", "qml-slatm"), "qmllib_structures"),
    "mtp": "mtp",
    **dict.fromkeys(("eann", "reann", "equireann"), "reann"),
    **dict.fromkeys(("dp-se-e2", "dp-se-e3", "dp-hybrid", "dp-fparam", "dp-se-atten", "dp-dpa", "dpa2"), "deepmd"),
    **dict.fromkeys(("dp-dipole", "dp-polar", "dp-dos", "dp-property", "dp-spin", "dp-sezm"), "deepmd"),
}
# kits whose names start like a supported one but which need a page that is not there yet
_LATER = ("schnet-fairchem1", "painn-fairchem1", "mace-les")


def importer(kit: Kit) -> Importer | None:
    """The function that reads this kit, or None if no page exists for it yet."""
    if kit.name.startswith(_LATER):
        return None
    starts = [start for start in _MODULES if kit.name.startswith(start)]
    if not starts:
        return None
    return import_module(f"{__name__}.{_MODULES[max(starts, key=len)]}").from_kit
