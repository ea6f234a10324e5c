"""The genetic search finds better functions than it starts from, the same ones again, as an ordinary descriptor."""

import pytest
import torch

from adiabat.architectures.local.bpnn import WACSFNN, WACSFNNConfig
from adiabat.data import MemoryDataset, read
from adiabat.descriptors.symmetry_functions import Recipe
from adiabat.descriptors.wacsf import WACSFConfig
from adiabat.errors import ConfigError, FitError
from adiabat.fit.genetic import Gene, GeneticConfig, _Judge, evolve
from adiabat.quickstart import shipped

RECIPE = Recipe(centered=(), shifted=8, start=0.0625, angular=(2.0, 0.5), zetas=(1.0,), weights=("number",))
START = WACSFConfig(cutoff=5.0, recipe=RECIPE)
OPTIONS = GeneticConfig(generations=2, population=6)


@pytest.fixture(scope="module")
def frames():
    found = list(read(str(shipped("ethanol")), index="3:19"))
    return MemoryDataset(found[:8]), MemoryDataset(found[8:])


def test_improves_and_repeats(frames):
    first, again = evolve(START, *frames, OPTIONS), evolve(START, *frames, OPTIONS)
    assert first.losses == again.losses
    assert first.config == again.config
    assert first.losses == sorted(first.losses, reverse=True)
    assert first.losses[-1] < first.losses[0]


def test_what_it_finds_is_a_descriptor(frames):
    found = evolve(START, *frames, OPTIONS).config
    again = WACSFConfig.parse(found.model_dump(mode="json"))
    assert again.build([1, 6, 8]).sizes == START.build([1, 6, 8]).sizes
    assert all(f.weight == "number" and f.cutoff == 5.0 and not f.neighbors for f in found.functions)
    networks = WACSFNN(WACSFNNConfig.parse({"functions": found.model_dump(mode="json")["functions"]}), [1, 6, 8])
    assert networks.functions.functions == found.functions


def test_losses_are_those_of_the_linear_model(frames):
    """Columns kept gene by gene give what the functions give together."""
    judge = _Judge(START, *frames, 1.0)
    one_by_one = [judge.losses([(gene,)]) for gene in judge.genes]
    assert len(one_by_one) == 12
    together = _Judge(START, *frames, 1.0).losses([judge.genes])
    assert judge.losses([judge.genes]) == pytest.approx(together, rel=1e-6)


def test_genes_stay_in_their_ranges():
    generator = torch.Generator().manual_seed(0)
    for start in (Gene("G2", 1.0, 2.0, 1.0, 1), Gene("G4", 1.0, 0.0, 1.0, 1)):
        gene = start
        for _ in range(200):
            gene = gene.changed(1.0, 4.0, generator)
            assert 0.01 <= gene.eta * 16.0 <= 400.0
            assert 0.0 <= gene.shift <= 4.0
            assert gene.zeta >= 1.0
        assert (gene.shift, gene.eta) != (start.shift, start.eta)


def test_refuses_what_it_cannot_do(frames):
    with pytest.raises(ConfigError, match="starts from a recipe"):
        evolve(evolve(START, *frames, GeneticConfig(generations=1, population=4)).config, *frames)
    bare = MemoryDataset([f.__class__(f.system, {"energy": f.labels["energy"]}) for f in frames[0]])
    with pytest.raises(FitError, match="has no forces"):
        evolve(START, bare, frames[1])
