"""Measure a model on the fixed suites of generated clips, with SAMURAI's rules and with plain SAM 2's.

python jobs/measure_suites.py --model nano
"""

import argparse

from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.process import prepare_process
from samurai_batch.synthetic import SUITES
from samurai_batch.tracking.settings import Mode, TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.training.quality import measure_suite

MODES: tuple[Mode, ...] = ("samurai", "sam2")


def main() -> None:
    """Print one line per suite and mode, as Markdown, and what one mode is ahead of the other on the same clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a name of `samurai-batch models`")
    parser.add_argument("--weights", help="a file; by default those that ship inside the package")
    arguments = parser.parse_args()
    prepare_process(1)
    model = build_model(load_weights(arguments.model, arguments.weights))
    print("| suite | mode | first frame | tracked IoU | seen when there | no mask when gone | balanced |")
    print("|---|---|---|---|---|---|---|")
    gains = {}
    for suite in SUITES.values():
        found = {mode: measure_suite(Tracker(model, TrackerSettings(mode=mode)), suite) for mode in MODES}
        gains[suite.name] = found["samurai"].gain_over(found["sam2"])
        for mode, quality in found.items():
            shares = f"{quality.seen:.3f} | {quality.missed:.3f} | {quality.balanced_accuracy:.3f}"
            print(f"| {suite.name} | {mode} | {quality.first_iou:.3f} | {quality.tracked} | {shares} |", flush=True)
    print(
        "\nSAMURAI over SAM 2, tracked IoU clip by clip:", ", ".join(f"{name} {gain}" for name, gain in gains.items())
    )


if __name__ == "__main__":
    main()
