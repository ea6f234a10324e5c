"""Every test of compiling has a cache of its own."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
