"""Atoms in space: systems, neighbor lists, graphs."""

from adiabat.geometry.bonds import Bonds
from adiabat.geometry.far_pairs import FarPairs
from adiabat.geometry.graph import Graph, triplets
from adiabat.geometry.halves import Halves
from adiabat.geometry.moving import MovingGraph
from adiabat.geometry.near_pairs import NearPairs
from adiabat.geometry.neighborhood import Neighborhood, PairList
from adiabat.geometry.neighbors import neighbor_pairs
from adiabat.geometry.system import Environment, System

__all__ = [
    "Bonds",
    "Environment",
    "FarPairs",
    "Graph",
    "Halves",
    "MovingGraph",
    "NearPairs",
    "Neighborhood",
    "PairList",
    "System",
    "neighbor_pairs",
    "triplets",
]
