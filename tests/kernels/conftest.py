"""Kernels need a compiler; without one their tests are skipped."""

import pytest

from adiabat.kernels.build import available


@pytest.fixture(autouse=True, scope="session")
def compiler():
    reason = available()
    if reason is not None:
        pytest.skip(reason)
