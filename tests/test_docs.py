"""The Python blocks of the documents run, in order, as a reader would run them."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", sorted(p.name for p in DOCS.glob("*.md") if BLOCK.search(p.read_text())))
def test_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)  # as in a reader's own process
    scope: dict[str, object] = {}
    for block in BLOCK.findall((DOCS / page).read_text()):
        exec(compile(block, page, "exec"), scope)
    assert capsys.readouterr().out


def test_the_tutorial_is_among_them():
    assert BLOCK.search((DOCS / "tutorial.md").read_text())
