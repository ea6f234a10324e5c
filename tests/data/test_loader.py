"""Batches: every frame once, an order that seed and epoch decide, labels masked, processes in step."""

import pytest
import torch

from adiabat.data import Frame, Loader, MemoryDataset
from adiabat.errors import ConfigError, DataError
from adiabat.geometry import Graph, System


def test_an_epoch_sees_every_frame_once(copper):
    loader = Loader(copper, 4.0, batch_size=7, shuffle=True, seed=1)
    seen = [i for batch in loader for i in batch.indices]
    assert sorted(seen) == list(range(40))
    assert len(loader) == 6
    assert [i for batch in loader for i in batch.indices] == seen
    loader.set_epoch(1)
    assert [i for batch in loader for i in batch.indices] != seen
    fresh = Loader(copper, 4.0, batch_size=7, shuffle=True, seed=1)
    fresh.set_epoch(1)
    assert fresh.order(1) == loader.order(1)


def test_a_batch_holds_its_frames(copper):
    loader = Loader(copper, 4.0, batch_size=4, labels=("energy", "forces", "stress"))
    batch = next(iter(loader))
    assert batch.indices == (0, 1, 2, 3)
    alone = Graph.batch([Graph.build(copper[k].system, 4.0) for k in range(4)])
    assert torch.equal(batch.graph.pairs, alone.pairs)
    assert torch.equal(batch.labels["stress"], torch.stack([copper[k].labels["stress"] for k in range(4)]))
    assert torch.equal(batch.labels["forces"], torch.cat([copper[k].labels["forces"] for k in range(4)]))


def test_missing_labels_are_masked(copper, alkanes):
    loader = Loader(MemoryDataset([copper[0], alkanes[0]]), 4.0, batch_size=2, labels=("energy", "stress"))
    batch = next(iter(loader))
    assert batch.present["stress"].tolist() == [True, False]
    assert batch.present["energy"].tolist() == [True, True]
    assert not batch.labels["stress"][1].any()


def test_batches_by_atoms(alkanes):
    loader = Loader(alkanes, 4.0, max_atoms=16, shuffle=True)
    sizes = [batch.graph.system.atoms for batch in loader]
    assert max(sizes) <= 16
    assert sum(sizes) == sum(f.system.atoms for f in alkanes)
    tiny = Loader(alkanes, 4.0, max_atoms=1)  # every frame larger than that stands alone
    assert len(tiny) == len(alkanes)


def test_processes_share_the_frames(copper):
    parts = [Loader(copper, 4.0, batch_size=3, shuffle=True, rank=r, world=4) for r in range(4)]
    counts = {len(part.batches(0)) for part in parts}
    assert counts == {4}  # 14 batches, filled up to 16
    seen = [i for part in parts for batch in part.batches(0) for i in batch]
    assert set(seen) == set(range(40))
    plain = [Loader(copper, 4.0, batch_size=3, rank=r, world=4) for r in range(4)]
    seen = [i for part in plain for batch in part.batches(0) for i in batch]
    assert sorted(seen) == list(range(40))  # unshuffled: nothing twice, so that errors are right


def test_single_precision_keeps_energies(copper):
    batch = next(iter(Loader(copper, 4.0, batch_size=2, dtype=torch.float32)))
    assert batch.graph.system.positions.dtype == torch.float32
    assert batch.labels["forces"].dtype == torch.float32
    assert batch.labels["energy"].dtype == torch.float64


def test_graphs_are_kept_only_while_there_is_room(copper):
    loader = Loader(copper, 4.0, batch_size=1, cached_pairs=1)
    assert loader.graph(0) is not loader.graph(0)
    roomy = Loader(copper, 4.0, batch_size=1)
    assert roomy.graph(0) is roomy.graph(0)


def test_faults_are_named(copper):
    for options, message in (
        ({}, "not both and not neither"),
        ({"batch_size": 2, "max_atoms": 10}, "not both"),
        ({"batch_size": 0}, "a batch of 0 is empty"),
        ({"batch_size": 1, "rank": 2, "world": 2}, "rank 2 is not below world 2"),
        ({"batch_size": 1, "labels": ("energi",)}, "Did you mean 'energy'"),
    ):
        with pytest.raises(ConfigError, match=message):
            Loader(copper, 4.0, **options)
    with pytest.raises(DataError, match="no frames"):
        Loader(MemoryDataset([]), 4.0, batch_size=1)
    overlapping = Frame(System.from_arrays([[0, 0, 0], [0, 0, 0]], [1, 1]))
    with pytest.raises(DataError, match="frame 1: "):
        list(Loader(MemoryDataset([copper[0], overlapping]), 4.0, batch_size=1))
