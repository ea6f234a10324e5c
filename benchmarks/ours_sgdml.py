"""Train adiabat's sGDML on the data, split and hyperparameters of the peer run, and score it in the same way.

    python ours_sgdml.py --data DATA --split SPLIT --settings peers/sgdml_settings.json --output RESULT

Takes the same arguments as `peers/train_sgdml.py` and writes the same keys, so that two result files compare line
by line. A closed-form fit has no random numbers: the two programs should find the same model.
"""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from ours import dataset, predict

from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.fit.kernel import KernelConfig, KernelFitter

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from common import parse_arguments, read_frames, read_json, score, split_frames, write_result


def main():
    """Train, score and write the result."""
    arguments = parse_arguments(__doc__.splitlines()[0])
    settings = read_json(arguments.settings)
    torch.set_num_threads(int(settings.get("threads", 1)))
    frames = read_frames(
        arguments.data, settings.get("energy_key", "REF_energy"), settings.get("forces_key", "REF_forces")
    )
    train, valid, test = split_frames(frames, read_json(arguments.split))
    elements = sorted({int(z) for atoms in train for z in atoms.numbers})
    config = SGDMLConfig(symmetries=settings["use_sym"], energy_constraints=settings["use_E_cstr"])
    model = SGDML(config, elements)
    options = KernelConfig(length_scales=tuple(settings["sigmas"]), regularizations=(settings["lam"],))
    start, cpu = time.perf_counter(), time.process_time()
    result = KernelFitter(model, dataset(train), dataset(valid), options).fit()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    write_result(
        arguments.output,
        arguments,
        settings,
        {
            "program": f"adiabat {version('adiabat')}",
            "torch": torch.__version__,
            "test": score(test, *predict(model, test)),
            "valid": score(valid, *predict(model, valid)),
            "sigma": result.best["length_scale"],
            "n_perms": len(model.permutations),
            "train_frames": len(train),
            "training_seconds": seconds,
            "training_cpu_seconds": cpu,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
