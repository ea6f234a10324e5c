"""From files to batches: data sets, labels, splits, statistics, lint."""

from adiabat.data.dataset import Dataset, MemoryDataset, Subset, dataset_hash, frame_hash
from adiabat.data.frame import LABELS, Batch, Frame, collate
from adiabat.data.info import DataInfo
from adiabat.data.lint import Finding, lint
from adiabat.data.loader import Loader
from adiabat.data.split import Split, split
from adiabat.data.store import ReadReport, read, stream, write

__all__ = [
    "LABELS",
    "Batch",
    "DataInfo",
    "Dataset",
    "Finding",
    "Frame",
    "Loader",
    "MemoryDataset",
    "ReadReport",
    "Split",
    "Subset",
    "collate",
    "dataset_hash",
    "frame_hash",
    "lint",
    "read",
    "split",
    "stream",
    "write",
]
