"""Compiling kernels: kept on disk, and a sentence where it is not possible."""

import pytest

from adiabat import native
from adiabat.errors import CapabilityError
from adiabat.kernels import build

SOURCE = build.SOURCES / "radial_sum.cpp"


def test_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path))
    native.library.__wrapped__(SOURCE)
    (made,) = (tmp_path / "kernels").iterdir()
    monkeypatch.setattr(native, "_compile", lambda *_: pytest.fail("compiled again"))
    native.library.__wrapped__(SOURCE)
    assert made.name.startswith("radial_sum-")


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CapabilityError, match="install g\\+\\+, or set CXX"):
        native.library.__wrapped__(SOURCE)


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(CapabilityError, match="cannot compile radial_sum.cpp"):
        native.library.__wrapped__(SOURCE)


@pytest.mark.parametrize("name", sorted(source.stem for source in build.SOURCES.glob("*.cpp")))
def test_every_kernel_compiles(name):
    """Other tests of a kernel skip where it cannot be had, and so would not notice one that is broken."""
    assert build.available(name) is None
