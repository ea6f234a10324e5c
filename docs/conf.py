"""Sphinx configuration."""

from adiabat import __version__

project = "adiabat"
author = "The adiabat developers"
copyright = "2026, The adiabat developers"
release = version = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"adiabat {release}"
exclude_patterns = ["_build"]
