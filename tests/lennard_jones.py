"""Frames labeled by a Lennard-Jones potential, and two short fits that every descriptor has to manage on them."""

import torch
from small_models import ELEMENTS, structure

from adiabat.architectures.classical.lennard_jones import LennardJones, LennardJonesConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System


def labeled(count):
    """Periodic structures of 8 atoms with energies and forces; pairs reach 3 Å."""
    target = LennardJones(LennardJonesConfig(sigma=1.2, cutoff=3.0, ending="linear"), ELEMENTS)
    frames = []
    for seed in range(count):
        system = structure(8, 4.0, seed)
        made = evaluate(target, Graph.build(system, 3.0), ("energy", "forces"))
        frames.append(Frame(system, {"energy": made.energy[0].detach(), "forces": made.forces.detach()}, {}))
    return MemoryDataset(frames)


def linear_error(model, data):
    """RMS force error of a linear fit, as a fraction of the RMS force."""
    best = LinearFitter(model, data, data, LinearConfig()).fit().best
    size = torch.cat([data[k].labels["forces"] for k in range(len(data))]).square().mean().sqrt()
    return best["valid_forces_rmse"] / float(size)


def loss_left(model, data, steps=25):
    """Energy loss after some steps of Adam, as a fraction of the first."""
    frames = [data[k] for k in range(len(data))]
    model.adapt([Graph.build(f.system, 3.0) for f in frames])
    graph = Graph.build(System.batch([f.system for f in frames]), 3.0)
    wanted = torch.stack([f.labels["energy"] for f in frames])
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(graph).energy - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[-1] / losses[0]
