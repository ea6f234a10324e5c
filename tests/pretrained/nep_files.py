"""Files of every kind that nep.txt knows, filled by a formula, and what calorine 4.1 gives for them."""

import numpy as np

CELL = np.array([[5.1, 0.0, 0.0], [0.4, 4.8, 0.0], [-0.3, 0.5, 5.3]])
FRACTIONS = np.indices((2, 2, 2)).reshape(3, -1).T / 2.0
POSITIONS = (FRACTIONS + 0.06 * np.sin(np.arange(24) ** 2).reshape(8, 3)) @ CELL
POSITIONS[1] = POSITIONS[0] + [0.9, 0.3, 0.1]  # near enough for the repulsion
SYMBOLS = ["O", "H", "C", "H", "O", "C", "H", "O"]
# header's first words, repulsion, cutoffs, l_max with flags, networks, output biases of their own
KINDS = {
    "nep3": ("nep3", "", "5 3.5", "4 2 1", 1, 0),
    "degree 8": ("nep4", "", "5 4", "8 0 0", 3, 0),
    "flexible repulsion": ("nep5_zbl", "zbl 0 0", "5 4", "3 0 1", 3, 1),
    "typewise cutoffs": ("nep4", "", "5 3.5 4 3 4.5 4", "4 2 0", 3, 0),
    "charges": ("nep4_zbl_charge1", "zbl 0.7 1.4", "5 4", "4 2 0", 3, 0),
    "charges in reciprocal space": ("nep4_charge2", "", "5 3.5 4 3 4.5 4", "4 2 0", 3, 0),
    "all four-body features": ("nep4_zbl", "zbl 0.7 1.4", "5 4", "4 2 1 1 1 1 1", 3, 0),
}


def text(kind: str) -> str:
    """A nep.txt of three elements, 4 radial and 3 angular features of 5 and 4 polynomials, and 6 nodes."""
    name, repulsion, cutoffs, degrees, networks, biases = KINDS[kind]
    l_max, *flags = (int(word) for word in degrees.split())
    size = 4 + 3 * (l_max + sum(flag > 0 for flag in flags))
    charged = "charge" in name
    count = networks * (6 * (size + 2 + charged) + biases) + charged
    count += 1 + 9 * (4 * 5 + 3 * 4)
    values = np.concatenate([0.5 * np.sin(np.arange(count) ** 2 * 0.37), 0.3 + 0.2 * np.cos(np.arange(size))])
    if repulsion.endswith("0 0"):
        pair = np.array([0.6, 1.9, 0.2, 3.1, 0.5, 0.95, 0.25, 0.41, 0.03, 0.2])
        values = np.concatenate([values, *(pair * (1.0 + 0.05 * k) for k in range(6))])
    lines = [f"{name} 3 O H C", *([repulsion] if repulsion else []), f"cutoff {cutoffs} 100 50", "n_max 3 2"]
    lines += ["basis_size 4 3", f"l_max {degrees}", "ANN 6 0", *(f"{v:15.7e}" for v in values)]
    return "\n".join(lines) + "\n"
