"""The parts of `gpu_checks.py`: what can be right or wrong (`proofs`), what takes its time (`measurements`)."""
