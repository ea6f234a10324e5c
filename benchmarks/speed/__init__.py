"""Speed of adiabat beside published programs; `benchmarks/run` starts it.

Each program runs in a worker process with its own interpreter, so `structures`, `worker` and the `peer_` modules use
only what every peer's environment has: numpy, ASE, torch and the peer itself.
"""
