"""Train ``nano``, the model inside the package, on generated video.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python jobs/train_nano.py --folder /tmp/nano

May be stopped and started again at any time: it goes on from the state in the folder.
"""

import argparse
import logging
import signal
import threading
from dataclasses import replace
from pathlib import Path

import torch

from samurai_batch.modeling.configs import MODELS
from samurai_batch.synthetic.settings import SceneSettings
from samurai_batch.training.batches import BatchSettings
from samurai_batch.training.curve import draw_curve
from samurai_batch.training.losses import LossWeights
from samurai_batch.training.schedule import Stage
from samurai_batch.training.state import compacted, export_weights, load_state, save_state
from samurai_batch.training.trainer import TrainingSettings, train

_PLAIN = SceneSettings(
    lookalikes=(0, 0),
    others=(0, 1),
    occluders=(0, 0),
    clutter=(0, 2),
    scale=(0.12, 0.35),
    camera=0.0,
    camouflage=0.0,
    leave=0.0,
    hiding=0.0,
    speed=6.0,
)
_PICTURES = SceneSettings(scale=(0.12, 0.42), speed=6.0, leave=0.0, hiding=0.1, camouflage=0.25)
_GENTLE = SceneSettings(scale=(0.12, 0.42), leave=0.15, hiding=0.2, crossing=0.3, others=(0, 1))
_LIVELY = SceneSettings(leave=0.3, hiding=0.35, scale=(0.1, 0.38))

# Minutes of one thread for a first usable model; `--stretch 5` is what a good one wants.
STAGES = (
    Stage(
        name="plain pictures",
        minutes=2,
        batches=BatchSettings(
            scene=_PLAIN, size=128, clips=5, frames=4, still=True, prompt_chances=(0.6, 0.3, 0.0, 0.1)
        ),
        weights=LossWeights(focal=0.0, balanced=2.0),
    ),
    Stage(
        name="pictures",
        minutes=24,
        batches=BatchSettings(scene=_PICTURES, size=128, clips=5, frames=4, still=True),
    ),
    Stage(
        name="clips",
        minutes=28,
        batches=BatchSettings(scene=_GENTLE, size=128, clips=4, frames=5),
        truth=(1.0, 0.2),
        first_frame=1.5,
        starts_memory=True,
    ),
    Stage(
        name="large clips",
        minutes=48,
        batches=BatchSettings(scene=_LIVELY, size=256, clips=2, frames=6),
        truth=(0.5, 0.0),
        first_frame=1.5,
    ),
)


def main() -> None:
    """Train, or go on training, with one thread; or write down what came of it so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the training's state is kept")
    parser.add_argument("--stretch", type=float, default=1.0, help="multiply the minutes of all stages")
    parser.add_argument("--export", type=Path, help="train nothing: write the average weights to this file")
    parser.add_argument(
        "--keep", type=Path, help="train nothing: write the state, halved, and its curve to this folder"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if arguments.export or arguments.keep:
        write_down(arguments.folder, arguments.export, arguments.keep)
        return
    stages = [replace(stage, minutes=stage.minutes * arguments.stretch) for stage in STAGES]
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    train(MODELS["nano"], stages, TrainingSettings(), arguments.folder, stop)


def write_down(folder: Path, weights: Path | None, kept: Path | None) -> None:
    """Write the weights that ship, and the state that a later sitting goes on from, of the state in ``folder``."""
    state = load_state(folder)
    if state is None:
        raise SystemExit(f"{folder}: there is no training state here; name the folder given to --folder in training")
    if weights:
        export_weights(state, weights)
    if kept:
        save_state(kept, compacted(state))
        draw_curve(state.curve, kept / "curve.png")


if __name__ == "__main__":
    main()
