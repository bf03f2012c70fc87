"""``python -m tests.simulation`` runs many seeds, replays one with all its events, or simulates a large cluster."""

import argparse
import logging
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.capacity import CapacityScenario, parse_size
from tests.simulation.scenario import Scenario


def failure_of(seed: int) -> str | None:
    """The error that a seed leads to; None if all checks hold."""
    logging.disable(logging.CRITICAL)
    try:
        Scenario(seed).run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def replay(seed: int) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="         %(message)s")

    def print_line(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    Scenario(seed, trace=print_line).run()


def run_seeds(num_seeds: int, first: int, num_processes: int) -> int:
    """Run the seeds and return how many of them fail a check."""
    started_s = time.monotonic()
    num_failed = 0
    with ProcessPoolExecutor(num_processes) as executor:
        seeds = range(first, first + num_seeds)
        for seed, failure in zip(seeds, executor.map(failure_of, seeds, chunksize=20), strict=True):
            if failure:
                num_failed += 1
                sys.stdout.write(f"seed {seed}: {failure}\n  replay: make simulate SEED={seed}\n")
    seconds = time.monotonic() - started_s
    sys.stdout.write(f"{num_seeds} seeds, {num_failed} of them failed, {seconds:.0f} s\n")
    return num_failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run only this seed, and print its events")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many to run")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--capacity", type=parse_size, help="replicas and tracks, as in 1000x100000")
    arguments = parser.parse_args()
    if arguments.capacity is not None:
        sys.stdout.write(f"{CapacityScenario(*arguments.capacity).run()}\n")
        return 0
    if arguments.seed is not None:
        replay(arguments.seed)
        return 0
    return min(run_seeds(arguments.seeds, arguments.first, arguments.processes), 1)


if __name__ == "__main__":
    sys.exit(main())
