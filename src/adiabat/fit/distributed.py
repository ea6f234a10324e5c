"""Several processes started by `torchrun`: each takes its share of every batch, gradients are summed.

`fit.batch_size` is that of the whole run: the steps are the same however many processes there are.
Losses are sums over components divided by the global count, so two processes with half a batch each give the same
step as one process with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """Which process this is."""

    rank: int = 0
    size: int = 1

    @property
    def leader(self) -> bool:
        """The one that writes files and shows progress."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its sum over processes, in one message."""
        if self.size == 1:
            return
        with_gradient = [p for p in parameters if p.requires_grad]
        for parameter in with_gradient:
            if parameter.grad is None:  # an element absent from this share of the batch
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.reshape(-1) for p in with_gradient])  # type: ignore[union-attr]
        dist.all_reduce(flat)
        start = 0
        for parameter in with_gradient:
            parameter.grad = flat[start : start + parameter.numel()].reshape(parameter.shape).clone()
            start += parameter.numel()

    def copy_from_leader(self, model: nn.Module) -> None:
        """Gives every process the leader's weights and buffers."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


def world() -> World:
    """The group that `torchrun` started, or a single process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        graphics = torch.cuda.is_available()
        if graphics:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        dist.init_process_group("cpu:gloo,cuda:nccl" if graphics else "gloo")
    return World(dist.get_rank(), size)
