"""Convolutions over neighbors."""

from torch import Tensor, nn

from adiabat.nn.mlp import MLP


class ContinuousFilterConvolution(nn.Module):
    """y_i = Σ_j x_j ∘ W(r_ij) f_c(r_ij), with a network W of the radial basis (doi:10.1063/1.5019779, eq. 3).

    Args:
        basis: number of radial functions.
        filters: channels of the features and of W.
        activation: between the two layers of W.
    """

    def __init__(self, basis: int, filters: int, activation: str):
        super().__init__()
        self.filters = MLP((basis, filters, filters), activation)

    def forward(self, features: Tensor, expansion: Tensor, envelope: Tensor, pairs: Tensor) -> Tensor:
        """`features [atoms, filters]` to sums over neighbors of the same shape.

        Args:
            features: x.
            expansion: radial basis of each pair `[pairs, basis]`.
            envelope: cutoff function f_c of each pair `[pairs]`.
            pairs: centers and neighbors `[2, pairs]`.
        """
        centers, neighbors = pairs
        messages = features[neighbors] * self.filters(expansion) * envelope[:, None]
        return features.new_zeros(features.shape).index_add(0, centers, messages)
