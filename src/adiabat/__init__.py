"""adiabat: machine-learned interatomic potentials, from quantum-mechanical data to trustworthy dynamics."""

__version__ = "0.1.0"
