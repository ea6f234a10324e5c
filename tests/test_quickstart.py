"""The quickstart on a small part of the shipped silicon set: all files, an honest report, a second run."""

import json
import re

import pytest

from adiabat.data import Subset, read, write
from adiabat.quickstart import QuickstartOptions, quickstart, shipped
from adiabat.report import figures


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    data = read(shipped("silicon"))
    few = [k for k in range(len(data)) if data[k].system.atoms == 2][:20]
    write(folder / "few.extxyz", Subset(data, few))
    options = QuickstartOptions(
        data=folder / "few.extxyz", folder=folder / "out", epochs=2, picoseconds=0.02, audit_picoseconds=0.01
    )
    lines: list[str] = []
    first = quickstart(options, lines.append).read_text()
    assert quickstart(options, lines.append).read_text()
    return folder / "out", first, lines


def test_all_files_are_there(page):
    folder = page[0]
    for name in ("model.adiabat", "metrics.json", "report.html", "log.jsonl", "receipt.json", "md/trajectory.extxyz"):
        assert (folder / name).exists(), name
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["part"] == "test"
    assert metrics["stress_mae"] > 0


def test_the_report_is_one_file_with_a_verdict_on_each_picture(page):
    html = page[1]
    assert "<script" not in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    pictures = html.count("<figure>")
    assert pictures >= 6  # energies, forces, stress, learning curve, drift, radial distribution
    assert html.count("<figcaption>") == pictures
    assert "Look before you use it" in html  # two epochs do not make a good model, and the report says so


def test_the_audit_is_told_on_the_way(page):
    said = "\n".join(page[2])
    assert "exact symmetry" in said
    assert "finite differences" in said
    assert "drifts by" in said


def test_parity_verdict_depends_on_the_errors():
    import numpy as np

    label = np.linspace(-1, 1, 50)
    assert figures.parity("forces", label, label + 0.001).passed
    assert not figures.parity("forces", label, -label).passed
