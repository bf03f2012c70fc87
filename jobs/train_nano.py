"""Train ``nano``, the model inside the package, on generated video.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python jobs/train_nano.py --folder /tmp/nano

On several cores: `torchrun --nproc-per-node 2 jobs/train_nano.py --folder /tmp/nano`; a batch for each process, and one
step for all. On a GPU, with clips made by all cores, for twelve minutes that end with a low learning rate:

    python jobs/train_nano.py --begin jobs/nano_state --folder OUT --bank BANK --device cuda --larger 8 --loaders 14 \
        --finish 12

May be stopped and started again at any time, with as many processes as you like: it goes on from the
state in the folder.
"""

import argparse
import logging
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from samurai_batch.modeling.configs import MODELS
from samurai_batch.modeling.process import prepare_process
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.synthetic.settings import SceneSettings
from samurai_batch.training.bank import StoredBank
from samurai_batch.training.batches import BatchSettings, ClipBatches
from samurai_batch.training.calibration import calibrate
from samurai_batch.training.losses import LossWeights
from samurai_batch.training.schedule import Stage, TrainingSettings
from samurai_batch.training.state import (
    TrainingState,
    compacted,
    curve_svg,
    export_weights,
    load_state,
    mean_average,
    save_state,
)
from samurai_batch.training.trainer import train

_PICTURES = SceneSettings(
    scale=(0.1, 0.4), clutter=(0, 5), camouflage=0.1, crossing=0.0, leave=0.0, hiding=0.15, speed=2.0
)
_GENTLE = SceneSettings(scale=(0.1, 0.4), clutter=(0, 5), camouflage=0.1, crossing=0.3, leave=0.3, hiding=0.4)
_LIVELY = SceneSettings(scale=(0.09, 0.35), clutter=(1, 8), crossing=0.6, leave=0.35, hiding=0.5)
_HIDING = replace(_LIVELY, hiding=0.7)
# Half of the things meet one that looks like them; they are small and large, and the camera is rarely still.
_WORLD = SceneSettings(
    lookalikes=(0, 2),
    clutter=(0, 4),
    scale=(0.05, 0.45),
    camera=1.2,
    deformation=0.35,
    articulated=0.5,
    crossing=0.7,
    leave=0.25,
    hiding=0.45,
    motion_blur=0.35,
    noise=0.04,
)
_CALIBRATION_SEED = 424_242
_PROMPTS = (0.8, 0.08, 0.05, 0.07)
_CLIPS = BatchSettings(
    scene=_GENTLE,
    size=128,
    clips=6,
    frames=5,
    objects=3,
    min_share=0.008,
    min_fill=0.25,
    uses=4,
    prompt_chances=_PROMPTS,
)
_LARGE_CLIPS = replace(
    _CLIPS,
    scene=_LIVELY,
    size=192,
    clips=3,
    frames=8,
    min_share=0.005,
    min_fill=0.2,
    prompt_chances=(0.9, 0.03, 0.02, 0.05),
)
_LONG_CLIPS = Stage(
    name="long clips",
    minutes=14,
    batches=replace(_LARGE_CLIPS, scene=_HIDING, frames=10),
    # The balanced cross-entropy pulls masks over their neighbours once there is no more fear of empty ones.
    loss_weights=LossWeights(focal=20.0, balanced=0.3),
    teacher_forcing=(0.2, 0.0),
    memory_dropout=0.25,
    image_weight=0.5,
    rate_factor=0.5,
)
_FINEST = replace(
    _LONG_CLIPS,
    name="finest long clips",
    minutes=100,
    batches=replace(_LONG_CLIPS.batches, size=256, frames=8, min_share=0.004),
    teacher_forcing=(0.1, 0.0),
)

_WORLDLY = replace(
    _FINEST,
    batches=replace(
        _FINEST.batches,
        scene=replace(_HIDING, lookalikes=(0, 2)),
        furnished_scene=_WORLD,
        leaping=0.3,
        objects=3,
        min_share=0.003,
        uses=3,
    ),
    loss_weights=LossWeights(focal=20.0, balanced=0.3, distractors=0.3),
    rate_factor=0.25,
    constant_rate=True,
)

# Minutes of one thread.
STAGES = (
    Stage(
        name="pictures",
        minutes=21,
        batches=BatchSettings(
            scene=_PICTURES,
            size=128,
            clips=10,
            frames=2,
            still=True,
            objects=4,
            min_share=0.008,
            min_fill=0.3,
            uses=6,
            prompt_chances=_PROMPTS,
        ),
    ),
    Stage(
        name="clips",
        minutes=13,
        batches=_CLIPS,
        teacher_forcing=(0.7, 0.5),
        image_weight=0.5,
        rate_factor=0.5,
        warms_up_memory=True,
    ),
    Stage(
        name="free clips",
        minutes=30,
        batches=replace(_CLIPS, scene=_LIVELY, clips=5, frames=6),
        teacher_forcing=(0.3, 0.1),
        image_weight=0.5,
        rate_factor=0.25,
    ),
    Stage(
        name="large clips",
        minutes=38,
        batches=_LARGE_CLIPS,
        teacher_forcing=(0.1, 0.0),
        image_weight=0.5,
        rate_factor=0.25,
    ),
    replace(
        _LONG_CLIPS,
        name="leaps",
        minutes=32,
        batches=replace(_LONG_CLIPS.batches, clips=6, frames=4, leaping=True),
        teacher_forcing=(0.6, 0.2),
        memory_dropout=0.4,
    ),
    _LONG_CLIPS,
    replace(_FINEST, name="finest clips", minutes=42, batches=replace(_FINEST.batches, frames=7)),
    replace(
        _FINEST,
        name="finest leaps",
        minutes=70,
        batches=replace(_FINEST.batches, clips=6, frames=4, leaping=True),
        teacher_forcing=(0.3, 0.1),
        memory_dropout=0.4,
    ),
    _FINEST,
    replace(_FINEST, name="finest clips at length", minutes=157),
    replace(_WORLDLY, name="small world", minutes=10, batches=replace(_WORLDLY.batches, size=192)),
    replace(_WORLDLY, name="world", minutes=1200),
)


def main() -> None:
    """Train, or go on training, with one thread; or write down what came of it so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the training's state is kept")
    parser.add_argument("--stretch", type=float, default=1.0, help="multiply the minutes of all stages")
    parser.add_argument("--photographs", type=Path, help="a folder of pictures that lend their textures")
    parser.add_argument(
        "--bank", type=Path, help="pictures gathered by jobs/gather_pictures.py, for the stages of the `world`"
    )
    parser.add_argument(
        "--finish", type=float, help="in the `world`: bring the learning rate down over so many minutes, then end"
    )
    parser.add_argument("--begin", type=Path, help="a folder with the state to begin from, where --folder has none")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: the encoder in bfloat16, the rest in TF32")
    parser.add_argument("--loaders", type=int, default=1, help="processes that make clips, beside the training")
    parser.add_argument("--larger", type=int, default=1, help="multiply the clips of every batch")
    parser.add_argument("--export", type=Path, help="train nothing: write the average weights to this file")
    parser.add_argument(
        "--blend", type=Path, help="a folder with an earlier state: export the mean of its average weights and these"
    )
    parser.add_argument(
        "--keep", type=Path, help="train nothing: write the state, halved, and its curve to this folder"
    )
    arguments = parser.parse_args()
    if arguments.blend and not arguments.export:
        parser.error("--blend goes with --export, the file that the mean is written to")
    prepare_process(1)
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    is_first = not dist.is_initialized() or dist.get_rank() == 0
    logging.basicConfig(level=logging.INFO if is_first else logging.WARNING, format="%(asctime)s %(message)s")
    if arguments.export or arguments.keep:
        write_down(arguments.folder, arguments.export, arguments.keep, arguments.blend)
        return
    photographs = read_photographs(arguments.photographs) if arguments.photographs else ()
    bank = StoredBank.open(arguments.bank) if arguments.bank else None
    stages = [
        replace(
            stage,
            minutes=stage.minutes * arguments.stretch,
            batches=replace(
                stage.batches,
                clips=stage.batches.clips * arguments.larger,
                photographs=photographs,
                bank=bank if stage.batches.furnished_scene else None,
            ),
        )
        for stage in STAGES
    ]
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    settings = TrainingSettings(
        cooldown_minutes=arguments.finish, device=arguments.device, num_loaders=arguments.loaders
    )
    begin_from(arguments.begin, arguments.folder)
    train(MODELS["nano"], stages, settings, arguments.folder, stop)


def begin_from(begin: Path | None, folder: Path) -> None:
    """Put the state of ``begin`` into a folder without one."""
    if begin is not None and load_state(folder) is None:
        save_state(folder, state_in(begin))


def calibrated(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the object score's zero set, on clips that no training and no suite has."""
    settings = replace(_FINEST.batches, clips=8, frames=12, uses=1, objects=2, prompt_chances=(1.0, 0.0, 0.0, 0.0))
    clips = ClipBatches(settings, (_CALIBRATION_SEED,))
    model = SAM2(MODELS["nano"], settings.size).float()
    model.load_state_dict(weights)
    threshold = calibrate(model, (clips[index] for index in range(8)))
    logging.info("the object score's best threshold was %.2f", threshold)
    return model.state_dict()


def read_photographs(folder: Path) -> tuple[NDArray[np.uint8], ...]:
    """All pictures in a folder, (H, W, 3) each."""
    return tuple(np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir()))


def state_in(folder: Path) -> TrainingState:
    """The training's state; ends the program where there is none."""
    state = load_state(folder)
    if state is None:
        raise SystemExit(f"{folder}: there is no training state here; name the folder given to --folder in training")
    return state


def write_down(folder: Path, weights: Path | None, kept: Path | None, earlier: Path | None) -> None:
    """Write the weights that ship, and the state that a later sitting goes on from, of the state in ``folder``.

    The weights that ship are averaged with those of the state in ``earlier``, where it is given.
    """
    state = state_in(folder)
    if weights:
        average = mean_average([state_in(earlier), state]) if earlier else state.average
        export_weights(replace(state, average=calibrated(average)), weights)
    if kept:
        save_state(kept, compacted(state))
        (kept / "curve.svg").write_text(curve_svg(state.curve), encoding="utf-8")


if __name__ == "__main__":
    main()
