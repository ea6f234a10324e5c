"""The only place that differentiates: forces, stress and Hessian of any potential."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from adiabat.errors import CapabilityError, did_you_mean
from adiabat.geometry import Graph
from adiabat.geometry.records import replace
from adiabat.geometry.system import Environment
from adiabat.potential import Potential, Prediction

QUANTITIES = (
    "energy",
    "atomic_energies",
    "forces",
    "stress",
    "magnetic_forces",
    "hessian",
    "charges",
    "dipole",
    "polarizability",
    "magnetic_moments",
    "property",
)
_OF_ENERGY = frozenset({"energy", "atomic_energies", "forces", "stress", "magnetic_forces", "hessian"})


def evaluate(
    potential: Potential,
    graph: Graph,
    want: Collection[str] = ("energy", "forces"),
    create_graph: bool = False,
) -> Prediction:
    """Everything asked for, derived from the energy where the model does not predict it itself.

    Stress is the derivative with respect to a symmetric strain, divided by the cell volume (ASE's sign:
    tension positive). Systems without periodicity get NaN stress.

    Args:
        potential: any potential.
        graph: built with at least the potential's cutoff; its dtype must be the potential's.
        want: names from QUANTITIES.
        create_graph: keep the derivative differentiable, for training on forces.

    Raises:
        CapabilityError: a wanted quantity cannot be had from this potential or for these systems.
    """
    check_request(potential, graph, want)
    return derive(potential, prepared(potential, graph), want, create_graph)


def prepared(potential: Potential, graph: Graph) -> Graph:
    """The graph as `potential.prepare` gives it; as it is for a Sum whose terms have their own lists of pairs."""
    try:
        return potential.prepare(graph)
    except CapabilityError:
        return graph


def check_request(potential: Potential, graph: Graph, want: Collection[str]) -> None:
    """Refuses what `evaluate` refuses before it computes anything."""
    for name in want:
        if name not in QUANTITIES:
            raise CapabilityError(f"'{name}' is not a quantity.{did_you_mean(name, QUANTITIES)}")
    potential.check(graph)
    if not potential.gives_energy and (lacking := _OF_ENERGY.intersection(want)):
        raise CapabilityError(
            f"this {type(potential).__name__} is a model of another property and gives no {sorted(lacking)[0]}: leave"
            f" {', '.join(sorted(lacking))} out of want, or set their weights to 0 in a fit."
        )
    if "hessian" in want and potential.is_frozen:  # kernels are differentiable once
        raise CapabilityError("a frozen model has no Hessian: ask the model that it was made from.")
    if "magnetic_forces" in want and "moments" not in potential.feels:
        raise CapabilityError(
            f"{type(potential).__name__} feels no magnetic moments: leave magnetic_forces out of want."
        )
    if "stress" in want and not potential.local:
        raise CapabilityError(
            f"{type(potential).__name__} is a global model and has no stress: leave it out of want."
        )
    if "stress" in want and not bool(graph.system.pbc.any()):
        raise CapabilityError(
            "stress needs a periodic cell, and none of these systems has one: leave it out of want."
        )


def derive(potential: Potential, graph: Graph, want: Collection[str], create_graph: bool = False) -> Prediction:
    """`evaluate` without its checks: nothing here depends on the values of tensors, so that it can be traced."""
    slopes = potential.conservative and bool({"forces", "stress", "magnetic_forces", "hessian"} & set(want))
    if not slopes:
        with torch.set_grad_enabled(create_graph):
            prediction = potential(graph)
    else:
        prediction = _with_derivatives(potential, graph, want, create_graph)
    for name in want:
        if getattr(prediction, name) is None:
            raise CapabilityError(f"{type(potential).__name__} does not predict {name}: leave it out of want.")
    return prediction


def _with_derivatives(potential: Potential, graph: Graph, want: Collection[str], create_graph: bool) -> Prediction:
    with torch.enable_grad():
        positions = graph.system.positions.detach().requires_grad_()
        strain = positions.new_zeros((graph.system.systems, 3, 3)).requires_grad_("stress" in want)
        moments = None
        if "magnetic_forces" in want:
            graph, moments = _held(graph)
        prediction = potential(_strained(graph, positions, strain) if "stress" in want else _at(graph, positions))
        more = {"stress", "magnetic_forces", "hessian"} & set(want)
        if prediction.forces is not None and not more:  # the model has its own gradient
            return prediction if create_graph else _detached(prediction)
        inputs = [positions] + ([strain] if "stress" in want else []) + ([] if moments is None else [moments])
        keep = create_graph or "hessian" in want
        energy = prediction.energy
        if energy.requires_grad:
            ones = torch.ones_like(energy)
            gradients = torch.autograd.grad(energy, inputs, ones, create_graph=keep, allow_unused=True)
        else:  # no pair within the cutoff: the energy does not depend on positions at all
            gradients = (None,) * len(inputs)
        slopes = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs, strict=True)]
        changes: dict[str, Tensor] = {}
        if prediction.forces is None:
            changes["forces"] = -slopes[0]
        if "stress" in want and prediction.stress is None:
            changes["stress"] = _stress(slopes[1], graph)
        if moments is not None:
            changes["magnetic_forces"] = -slopes[-1]
        if "hessian" in want:
            changes["hessian"] = _hessian(slopes[0], positions, graph)
    prediction = prediction.replace(**changes)
    return prediction if create_graph else _detached(prediction)


def _at(graph: Graph, positions: Tensor) -> Graph:
    return graph.replace(system=graph.system.replace(positions=positions))


def _held(graph: Graph) -> tuple[Graph, Tensor]:
    """The graph with magnetic moments to differentiate by, zeros where none are given, and these `[atoms, 3]`."""
    environment = graph.system.environment or Environment()
    given = environment.moments
    moments = (torch.zeros_like(graph.system.positions) if given is None else given.detach()).requires_grad_()
    changed = replace(environment, moments=moments)
    return graph.replace(system=graph.system.replace(environment=changed)), moments


def _strained(graph: Graph, positions: Tensor, strain: Tensor) -> Graph:
    symmetric = 0.5 * (strain + strain.transpose(1, 2))
    system = graph.system
    moved = positions + torch.einsum("ai,aij->aj", positions, symmetric[system.system])
    cell = system.cell + system.cell @ symmetric
    return graph.replace(system=system.replace(positions=moved, cell=cell))


def _stress(slope: Tensor, graph: Graph) -> Tensor:
    # NaN is chosen after the division: dividing by it would make the weights' gradient NaN in mixed batches
    periodic = graph.system.pbc.any(dim=1)
    volume = torch.where(periodic, graph.system.volume, torch.ones_like(graph.system.volume))
    values = slope / volume[:, None, None]
    return torch.where(periodic[:, None, None], values, torch.full_like(values, float("nan")))


def _hessian(slope: Tensor, positions: Tensor, graph: Graph) -> Tensor:
    if len(graph.system) != 1:
        raise CapabilityError(
            f"a Hessian is of one system, and the batch has {len(graph.system)}: evaluate one by one."
        )
    flat = slope.reshape(-1)
    if not flat.requires_grad:
        return positions.new_zeros((len(flat), len(flat)))
    rows = [torch.autograd.grad(flat[k], positions, retain_graph=True)[0].reshape(-1) for k in range(len(flat))]
    return torch.stack(rows)


def _detached(prediction: Prediction) -> Prediction:
    values = {k: v.detach() for k, v in vars(prediction).items() if isinstance(v, Tensor)}
    properties = {k: v.detach() for k, v in prediction.properties.items()}
    return prediction.replace(**values, properties=properties)
