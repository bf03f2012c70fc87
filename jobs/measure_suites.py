"""Measure a model on the fixed suites of generated clips, with every tracker or with some of them.

    python jobs/measure_suites.py --model nano

Or on validation clips, to select weights: they use other seeds than training and suites, and held-out pictures. Clip by
clip, two weights differ by much less than the clips do:

    python jobs/measure_suites.py --weights FILE --against OTHER --bank ~/.cache/nano-pictures/held-out --clips 64
"""

import argparse
from pathlib import Path

from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.process import prepare_process
from samurai_batch.synthetic import SUITES
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.tracking.trackers import TRACKERS, Mode
from samurai_batch.training.bank import StoredBank
from samurai_batch.training.validation import measure_suite, validation_suites

MODES: tuple[Mode, ...] = tuple(TRACKERS)


def main() -> None:
    """Print a table with a line per suite and mode, and the gains over SAM 2, or other weights, clip by clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a name of `samurai-batch models`")
    parser.add_argument("--weights", help="weights file; default: those that ship inside the package")
    parser.add_argument("--against", help="weights file to compare with")
    parser.add_argument("--bank", type=Path, help="folder `held-out` written by jobs/gather_pictures.py")
    parser.add_argument("--clips", type=int, default=32, help="with --bank: number of validation clips of each kind")
    parser.add_argument("--mode", choices=MODES, action="append", help="measure only this mode")
    arguments = parser.parse_args()
    modes: list[Mode] = arguments.mode or list(MODES)
    suites = validation_suites(StoredBank.open(arguments.bank), arguments.clips) if arguments.bank else SUITES
    prepare_process(1)
    files = [arguments.weights, arguments.against] if arguments.against else [arguments.weights]
    model, *other = [build_model(load_weights(arguments.model, file)) for file in files]
    print("| suite | mode | first frame | tracked IoU | seen when there | no mask when gone | balanced |")
    print("|---|---|---|---|---|---|---|")
    gains = []
    for name, suite in suites.items():
        found = {mode: measure_suite(Tracker(model, TrackerSettings(mode=mode)), suite) for mode in modes}
        if other:
            bases = {mode: measure_suite(Tracker(other[0], TrackerSettings(mode=mode)), suite) for mode in modes}
        else:
            bases = {mode: found["sam2"] for mode in modes if "sam2" in modes and mode != "sam2"}
        gains += [f"| {name} | {mode} | {found[mode].gain_over(base)} |" for mode, base in bases.items()]
        for mode, quality in found.items():
            shares = f"{quality.seen:.3f} | {quality.missed:.3f} | {quality.balanced_accuracy:.3f}"
            print(f"| {name} | {mode} | {quality.first_iou:.3f} | {quality.tracked} | {shares} |", flush=True)
    if gains:
        print(f"\n| suite | mode | tracked IoU over {arguments.against or 'sam2'}, clip by clip |\n|---|---|---|")
        print("\n".join(gains))


if __name__ == "__main__":
    main()
