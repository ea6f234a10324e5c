"""Atoms in space: systems, neighbor lists, graphs."""

from adiabat.geometry.graph import Graph, triplets
from adiabat.geometry.moving import MovingGraph
from adiabat.geometry.neighborhood import Neighborhood, PairList
from adiabat.geometry.neighbors import SkinList, neighbor_pairs
from adiabat.geometry.system import Environment, System

__all__ = [
    "Environment",
    "Graph",
    "MovingGraph",
    "Neighborhood",
    "PairList",
    "SkinList",
    "System",
    "neighbor_pairs",
    "triplets",
]
