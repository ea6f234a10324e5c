"""Radial and angular bases, cutoffs, networks: the blocks that pages are made of."""
