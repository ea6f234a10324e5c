"""A training step as one compiled function: predictions, sums of penalties and gradients of the loss."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adiabat.compile.build import Backend, Executable, build
from adiabat.compile.capture import Layout, Program, Tensors
from adiabat.compile.graphs import graph_from, graph_inputs, graph_layouts
from adiabat.compile.potential import Runner, announce, describe, tensors
from adiabat.data.frame import PER_ATOM, Batch
from adiabat.errors import CapabilityError
from adiabat.fit.losses import Term, penalty_sums
from adiabat.potential import Potential, Prediction

PAYS = 10_000
"""Steps from which a fit compiles by itself: compiling takes one to three minutes and saves about half of a step."""


class CompiledStep:
    """Gradients of the loss for any batch, from one function compiled at the first call.

    Weights of the terms come in as numbers; another kind of penalty makes another function.

    Args:
        potential: what is fitted; its gradients are set, not added to.
        backend: see `adiabat.compile.build.build`.

    Attributes:
        reason: why steps cannot be compiled, or None.
    """

    def __init__(self, potential: Potential, backend: Backend = "auto"):
        self.potential = potential
        self.backend: Backend = backend
        self.reason: str | None = None
        self._made: dict[Any, Executable] = {}

    def __call__(
        self, batch: Batch, terms: Mapping[str, Term], scales: Tensor, weights: Tensor | None
    ) -> tuple[Prediction, dict[str, Tensor]] | None:
        """Sets the gradients of Σ_k scale_k · sum_k; returns the prediction and the sums.

        None where this batch cannot be compiled (`reason` if none can): the caller then steps as usual.

        Args:
            batch: with labels.
            terms: of the loss.
            scales: `[terms]`, float64: weight over number of components.
            weights: `[systems]` weight of each frame, or None.
        """
        if self.reason is not None or batch.graph.system.environment is not None:
            return None
        self.potential.check(batch.graph)
        try:
            inputs = _inputs(self.potential, batch, terms, scales, weights)
            if not all(t.numel() for t in inputs.values()):
                return None
            executable = self._executable(inputs, terms, batch.graph.cutoff)
        except CapabilityError as error:
            self.reason = str(error)
            warnings.warn(f"the fit goes on with uncompiled steps: {error}", stacklevel=2)
            return None
        found = executable(tensors(self.potential), inputs)
        for name, parameter in self.potential.named_parameters():
            parameter.grad = found.get(f"gradient of {name}")
        fields: dict[str, Any] = {name: found[name] for name in {"energy", *terms}}
        return Prediction(**fields), {name: found[f"sum of {name}"] for name in terms}

    def _executable(self, inputs: Tensors, terms: Mapping[str, Term], cutoff: float) -> Executable:
        plain = {name: term.model_dump(exclude={"weight"}) for name, term in terms.items()}
        signature = repr((plain, list(inputs), cutoff))
        if signature not in self._made:
            program = _program(self.potential, inputs, terms, cutoff, signature)
            title = f"the training step of {type(self.potential).__name__}"
            made = build(program, self.backend, title, announce)
            made.verify(tensors(self.potential), inputs)
            self._made[signature] = made
        return self._made[signature]


def _inputs(
    potential: Potential, batch: Batch, terms: Mapping[str, Term], scales: Tensor, weights: Tensor | None
) -> Tensors:
    inputs = graph_inputs(potential.prepare(batch.graph))
    for name in terms:
        inputs[f"label {name}"], inputs[f"present {name}"] = batch.labels[name], batch.present[name]
    ones = scales.new_ones(batch.graph.system.systems)
    return inputs | {"scales": scales, "weights": ones if weights is None else weights}


def _layouts(inputs: Tensors, terms: Mapping[str, Term]) -> dict[str, Layout]:
    own: dict[str, Layout] = {}
    for name in terms:
        size = "atoms" if name in PER_ATOM else "systems"
        label = inputs[f"label {name}"]
        own[f"label {name}"] = Layout((size, *label.shape[1:]), label.dtype)
        own[f"present {name}"] = Layout(("systems",), torch.bool)
    own["scales"] = Layout((len(terms),), torch.float64)
    own["weights"] = Layout(("systems",), inputs["weights"].dtype)
    return graph_layouts({k: v for k, v in inputs.items() if k not in own}) | own


def _program(
    potential: Potential, inputs: Tensors, terms: Mapping[str, Term], cutoff: float, signature: str
) -> Program:
    runner = Runner(potential)
    layouts = _layouts(inputs, terms)
    want = tuple(dict.fromkeys(["energy", *terms]))
    trained = [name for name, p in potential.named_parameters() if p.requires_grad]

    def function(constants: Tensors, given: Tensors) -> dict[str, Tensor | None]:
        with torch.enable_grad():
            leaves = {name: constants[name].detach().requires_grad_() for name in trained}
            graph = graph_from(given, cutoff)
            prediction = runner.with_tensors(constants | leaves, graph, want, create_graph=True)
            labels = {name: given[f"label {name}"] for name in terms}
            present = {name: given[f"present {name}"] for name in terms}
            batch = Batch(graph, labels, present)
            sums = penalty_sums(prediction, batch, terms, given["weights"])
            total = torch.stack(list(sums.values())) @ given["scales"]
            slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        found: dict[str, Tensor | None] = {name: getattr(prediction, name) for name in want}
        found |= {f"sum of {name}": value for name, value in sums.items()}
        return found | {f"gradient of {name}": slope for name, slope in zip(leaves, slopes, strict=True)}

    identity = f"training {trained} of {describe(potential)} {signature}"
    return Program(function, tensors(potential), layouts, identity, potential.device)
