"""Fixtures of tests of geometry."""

import pytest

from adiabat.geometry import neighbors


@pytest.fixture(params=["bins", "trees"])
def search(request, monkeypatch):
    """Either of the two ways to find pairs; k-d trees serve where there is no compiler."""
    if request.param == "trees":
        monkeypatch.setattr(neighbors, "_search", lambda compiler: None)
