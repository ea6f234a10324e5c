"""From one potential to another: fine-tuning on new data, and distillation into a faster architecture."""

from adiabat.transfer.distillation import DistillResult, distill
from adiabat.transfer.finetuning import FinetuneResult, finetune
from adiabat.transfer.options import DistillRun, FinetuneConfig, FinetuneRun, GenerateConfig, ReplayConfig

__all__ = [
    "DistillResult",
    "DistillRun",
    "FinetuneConfig",
    "FinetuneResult",
    "FinetuneRun",
    "GenerateConfig",
    "ReplayConfig",
    "distill",
    "finetune",
]
