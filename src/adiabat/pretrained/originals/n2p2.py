"""n2p2 and RuNNer folders (doi:10.1021/acs.jctc.8b00770): input.nn, scaling.data and weights.*.data, all text."""

from __future__ import annotations

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source
from adiabat.units import length_unit

_FOURTH = ("4G", "4G-HDNNP", "HDNNP-4G")


def recognize(source: Source) -> bool:
    """A folder with input.nn."""
    return source.kind == "folder" and (source.path / "input.nn").is_file()


def read(source: Source) -> Kit:
    """The folder itself, which the importer reads, with its units.

    Raises:
        CheckpointError: the units, which the files do not say, are not given.
    """
    lines = (source.path / "input.nn").read_text(errors="replace").splitlines()
    words = [line.split("#")[0].split() for line in lines]
    given = {w[0]: w[1] for w in words if len(w) > 1}
    fourth = given.get("nnp_type") in _FOURTH or given.get("nnp_generation") == "4"
    if source.options.length_unit is None:
        raise CheckpointError(
            f"{source.path} does not say its length unit, which n2p2 leaves to the data: give --length-unit, such as"
            " Bohr or Å."
        )
    energy = source.energy_unit("n2p2")
    name = "n2p2-4G" if fourth else "n2p2-original"
    length = source.options.length_unit
    meta = {
        "program": "n2p2",
        "energy_unit": energy,
        "length_unit": length,
        "length_unit_in_angstrom": length_unit(length),
    }
    return Kit.of(name, meta, {}, path=source.path)
