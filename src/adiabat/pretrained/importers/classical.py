"""Classical potentials from LAMMPS's files, which their pages read."""

from __future__ import annotations

from adiabat.architectures import method
from adiabat.errors import CheckpointError, ConfigError
from adiabat.pretrained.kit import Imported, Kit


def from_kit(kit: Kit) -> Imported:
    """The potential of a file for the elements asked for, by default all that it has."""
    page = method(kit.meta["method"])
    try:
        config = page.config_class.parse({"file": str(kit.path)})
        elements = kit.meta["elements"] or page.potential_class.own_elements(config)
        return Imported({"": page.potential_class(config, elements).double()})  # type: ignore[call-arg]
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
