"""Splits: disjoint, reproducible, of the sizes asked for, with hashes that notice a change."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from adiabat.data import MemoryDataset, Split, split
from adiabat.data.fingerprint import fingerprints
from adiabat.data.split import METHODS, formula
from adiabat.errors import ConfigError, DataError


@pytest.mark.parametrize("method", METHODS)
def test_parts_are_disjoint_and_reproducible(copper, method):
    key = "group" if method == "group" else None
    sizes = {"train": 20, "test": 20} if method in ("group", "composition") else None
    one, again, other = (split(copper, sizes, method, seed, key=key) for seed in (0, 0, 1))
    chosen = [i for part in one.indices.values() for i in part]
    assert sorted(chosen) == list(range(40))
    assert one == again
    if method != "composition":
        assert one.indices != other.indices


def test_sizes(copper):
    counts = {name: len(part) for name, part in split(copper).indices.items()}
    assert counts == {"train": 32, "valid": 4, "test": 4}
    counts = {n: len(i) for n, i in split(copper, {"train": 7, "test": 0.1, "rest": None}).indices.items()}
    assert counts == {"train": 7, "test": 4, "rest": 29}
    few = split(copper, {"train": 5, "test": 5})
    assert sum(len(part) for part in few.indices.values()) == 10
    for sizes, message in (
        ({"train": 41}, "40 frames cannot be split into train 41"),
        ({"train": 1.5}, "give a fraction up to 1.0"),
        ({"a": None, "b": None}, "only one part can take what is left"),
        ({"train": 0}, "size 0 is not possible"),
    ):
        with pytest.raises(ConfigError, match=message):
            split(copper, sizes)


def test_groups_stay_together(copper, alkanes):
    chosen = split(copper, {"train": 0.5, "valid": 0.25, "test": 0.25}, "group", key="group")
    for part in chosen.indices.values():
        assert all(
            Counter(copper[i].info["group"] for i in part)[g] == 10 for g in {copper[i].info["group"] for i in part}
        )
    by_formula = split(alkanes, {"train": 18, "test": 6}, "composition")
    train, test = ({formula(alkanes[i]) for i in part} for part in by_formula.indices.values())
    assert len(train) == 3
    assert not train & test
    uneven = split(alkanes, {"train": 17, "test": 7}, "composition")
    assert any("groups are kept whole" in remark for remark in uneven.remarks)
    with pytest.raises(ConfigError, match="needs key"):
        split(copper, None, "group")
    with pytest.raises(DataError, match="has no 'grup' in its info. Did you mean 'group'"):
        split(copper, None, "group", key="grup")
    with pytest.raises(DataError, match="4 groups cannot fill 5 parts"):
        split(alkanes, dict.fromkeys("abcde", 2), "composition")


def test_time_blocks_leave_a_gap(copper):
    chosen = split(copper, {"train": 20, "test": 20}, "blocks", blocks=4, gap=2)
    train, test = (set(part) for part in chosen.indices.values())
    assert min(abs(a - b) for a in train for b in test) > 2
    borders = int(np.sum(np.diff([k in train for k in range(40)]) != 0))
    assert borders <= 3
    with pytest.raises(ConfigError, match="40 frames cannot be cut into 50 blocks"):
        split(copper, None, "blocks", blocks=50)


def test_farthest_points_cover_the_set(copper):
    """The largest distance of any frame to the training part is no larger than with random choice."""
    points = fingerprints(copper, (29,))

    def reach(indices):
        return np.sqrt(np.square(points[:, None] - points[None, indices]).sum(axis=-1)).min(axis=1).max()

    sizes = {"train": 8, "test": 32}
    farthest = reach(split(copper, sizes, "farthest").indices["train"])
    drawn = [reach(split(copper, sizes, "random", seed).indices["train"]) for seed in range(10)]
    assert farthest < min(drawn)
    by_volume = split(copper, sizes, "farthest", descriptor=lambda f: np.array([float(f.system.volume)]))
    volumes = np.array([float(f.system.volume) for f in copper])
    train = volumes[by_volume.indices["train"]]
    assert (train.min(), train.max()) == (volumes.min(), volumes.max())


def test_a_saved_split_knows_its_data(tmp_path, copper):
    chosen = split(copper, seed=3)
    chosen.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json")
    assert loaded == chosen
    assert [len(part) for part in loaded.parts(copper).values()] == [32, 4, 4]
    frames = list(copper)
    with pytest.raises(DataError, match="belongs to another"):
        loaded.parts(MemoryDataset(frames[:20]))
    index = chosen.indices["valid"][0]
    frames[index] = replace(frames[index], labels={})
    with pytest.raises(DataError, match="the part 'valid' has changed"):
        loaded.parts(MemoryDataset(frames))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError, match="not a split file"):
        Split.load(tmp_path / "other.json")


def test_unknown_method(copper):
    with pytest.raises(ConfigError, match="'randm' is not a way to split. Did you mean 'random'"):
        split(copper, method="randm")
