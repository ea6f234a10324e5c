"""Hand-written C++ for the inner loops of frozen models; each stands beside a reference in torch and equals it."""
