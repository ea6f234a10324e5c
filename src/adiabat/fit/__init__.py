"""The fitters: gradient, linear and kernel. None of them knows an architecture by name."""
