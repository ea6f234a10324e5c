"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with golden kits and public data sets; it lies beside the checkout or where ADIABAT_SHARED says."""
    path = Path(os.environ.get("ADIABAT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (path / "golden").is_dir():
        pytest.skip(f"the folder of golden kits {path} is absent: set ADIABAT_SHARED to where it lies")
    return path


@pytest.fixture(autouse=True)
def _default_dtype():
    """Tests run in float64 and leave the default as it was."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
