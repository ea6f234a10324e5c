"""The fitters: gradient and kernel. None of them knows an architecture by name."""
