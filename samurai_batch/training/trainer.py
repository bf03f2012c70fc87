"""The training loop: batches in, weights and a curve out; may be stopped and taken up at any time."""

import math
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.redaction import get_logger
from samurai_batch.training.batches import Batch, ClipBatches
from samurai_batch.training.crew import Crew
from samurai_batch.training.initial import initial_weights
from samurai_batch.training.losses import FrameLoss, frame_loss, loudness
from samurai_batch.training.optimizer import Optimizers, blend
from samurai_batch.training.rollout import Forcing, encode_batch, follow, mark_anew
from samurai_batch.training.schedule import Moment, Stage, moment, rate_factor, steady_factor, truth_chance
from samurai_batch.training.state import Point, TrainingState, load_state, save_state
from samurai_batch.training.warmup import start_memory, warm_decoder

logger = get_logger(__name__)

_APART = 1_000_003  # between the seeds of processes that train together


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained, whatever it is trained on.

    ``finish_minutes`` ends a steady stage: from the start of this sitting on the learning rate comes down, over so many
    minutes of work, and then the training is over. ``num_loaders`` processes make batches for ``device``.
    """

    seed: int = 0
    rate: float = 4e-3
    weight_decay: float = 0.05
    warm_steps: int = 40
    warm_up_steps: int = 300
    decay_from: float = 0.55
    max_gradient: float = 1.0
    average_keep: float = 0.99
    save_every_s: float = 180.0
    log_every: int = 20
    finish_minutes: float | None = None
    device: str = "cpu"
    num_loaders: int = 1


@dataclass(frozen=True)
class Sitting:
    """One run of the training, from the step and the minute at which it took up."""

    step: int
    minute: float
    settings: TrainingSettings

    def finished(self, minute: float) -> float:
        """The share of the cool-down that is over; 0 without one."""
        length = self.settings.finish_minutes
        return 0.0 if length is None else (minute - self.minute) / length

    def rate(self, stage: Stage, now: Moment, step: int, minute: float) -> float:
        """The factor on the learning rate."""
        warm = self.settings.warm_steps
        if stage.steady:
            # A cool-down begins from a full rate.
            taken = step - self.step if self.settings.finish_minutes is None else warm
            return stage.rate * steady_factor(taken, warm, self.finished(minute))
        return stage.rate * rate_factor(step, now.share, warm, self.settings.decay_from)


def train(
    config: Sam2Config,
    stages: Sequence[Stage],
    settings: TrainingSettings,
    folder: Path,
    stop: threading.Event,
) -> TrainingState:
    """Train through the stages, going on from the state in ``folder`` if there is one; returns the last state.

    The state is saved there every few minutes, at the end, and soon after ``stop`` is set. Time is counted in minutes
    of work of all processes that train together, so a run that was stopped, or shared its processor, takes up where it
    was.
    """
    crew = Crew(stop)
    state = load_state(folder)
    if state is None:
        state = _beginning(config, settings)
        if crew.is_first:
            save_state(folder, state)
    sitting = Sitting(state.step, state.elapsed_s / 60, settings)
    while not crew.is_stopping and (now := moment(stages, state.elapsed_s / 60)) is not None:
        if stages[now.stage].steady and sitting.finished(state.elapsed_s / 60) >= 1:
            break
        _run_stage(config, stages, now.stage, settings, folder, state, crew, sitting)
    if crew.is_first:
        save_state(folder, state)
    return state


def _beginning(config: Sam2Config, settings: TrainingSettings) -> TrainingState:
    seed, steps = settings.seed, settings.warm_up_steps
    return TrainingState.fresh(warm_decoder(config, initial_weights(config, seed), seed, steps))


@dataclass
class _Meter:
    """What was read since the last line of the log; not every step reads everything."""

    read: dict[str, list[float]] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.read.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        means = {name: sum(values) / len(values) for name, values in self.read.items()}
        self.read = {}
        return means


def _run_stage(
    config: Sam2Config,
    stages: Sequence[Stage],
    index: int,
    settings: TrainingSettings,
    folder: Path,
    state: TrainingState,
    crew: Crew,
    sitting: Sitting,
) -> None:
    """Train until the stage's minutes are over; ``state`` moves along."""
    stage = stages[index]
    if stage.starts_memory and _is_entered(stage, state):
        frames = ClipBatches(replace(stage.batches, clips=4), (settings.seed, index))[0].frames.flatten(0, 1)
        state.weights = start_memory(config, state.average, frames, settings.seed, settings.warm_up_steps // 3)
        state.average = {name: tensor.clone() for name, tensor in state.weights.items()}
    model = SAM2(config, stage.batches.size).float().to(settings.device)
    model.load_state_dict(state.weights)
    average = {name: tensor.to(settings.device) for name, tensor in state.average.items()}
    crew.start_equal(model)
    optimizers = Optimizers(model, settings.rate, settings.weight_decay)
    optimizers.load_tensors(state.optimizer)
    seed = (settings.seed, index, state.step, *([crew.rank] if crew.rank else []))
    generator = torch.Generator().manual_seed(settings.seed + state.step + _APART * crew.rank)
    meter, saved, started = _Meter(), time.monotonic(), time.process_time()
    logger.info("stage %s from step %d", stage.name, state.step)
    batches = iter(_loader(stage, seed, settings.num_loaders))
    while (now := moment(stages, state.elapsed_s / 60)) is not None and now.stage == index and not crew.is_stopping:
        if stage.steady and sitting.finished(state.elapsed_s / 60) >= 1:
            break
        rate = sitting.rate(stage, now, state.step, state.elapsed_s / 60)
        values = _step(
            model, optimizers, next(batches).to(settings.device), stage, now, settings, rate, generator, crew
        )
        keep = min(settings.average_keep, (state.step + 1) / (state.step + 10))
        blend(average.values(), (model.state_dict()[name] for name in average), keep)
        state.step += 1
        state.elapsed_s += crew.count(time.process_time() - started)
        started = time.process_time()
        meter.add(values)
        if state.step % settings.log_every == 0:
            point = Point(state.step, round(state.elapsed_s), stage.name, meter.means())
            state.curve.append(point)
            logger.info("%s", point)
        if crew.is_first and time.monotonic() - saved > settings.save_every_s:
            _capture(state, model, average, optimizers)
            save_state(folder, state)
            saved = time.monotonic()
    _capture(state, model, average, optimizers)


def _is_entered(stage: Stage, state: TrainingState) -> bool:
    """Whether the stage begins now, rather than goes on after a stop."""
    return not state.curve or state.curve[-1].stage != stage.name


def _capture(state: TrainingState, model: SAM2, average: dict[str, torch.Tensor], optimizers: Optimizers) -> None:
    state.weights = _copied(model.state_dict())
    state.average = _copied(average)
    state.optimizer = _copied(optimizers.tensors())


def _copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.clone(tensor.detach()).cpu() for name, tensor in tensors.items()}


def _loader(stage: Stage, seed: tuple[int, ...], num_loaders: int) -> DataLoader[Batch]:
    """Batches made by processes beside the training, a few ahead."""
    return DataLoader(
        ClipBatches(stage.batches, seed, num_lanes=num_loaders),
        batch_size=None,
        num_workers=num_loaders,
        prefetch_factor=4,
        worker_init_fn=_step_back,
    )


def _step_back(worker: int) -> None:
    for name in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group, it is the training that answers
        signal.signal(name, signal.SIG_IGN)
    torch.set_num_threads(1)
    os.nice(2)


def _step(
    model: SAM2,
    optimizers: Optimizers,
    batch: Batch,
    stage: Stage,
    now: Moment,
    settings: TrainingSettings,
    rate: float,
    generator: torch.Generator,
    crew: Crew,
) -> dict[str, float]:
    """One update of the parameters at ``rate`` times the base rate; returns what the log shows of this batch.

    Raises FloatingPointError where the gradient is not finite.
    """
    forcing = Forcing(truth_chance(stage, now.stage_share), stage.drop)
    with _attention(settings.device):
        features = encode_batch(model, batch)
        losses = clip_losses(model, batch, features, stage, forcing, generator)
        shares = [stage.first_frame, *[1.0] * (len(losses) - 1)]
        total = sum(
            (loss.total * share for loss, share in zip(losses, shares, strict=True)), losses[0].total.new_zeros(())
        )
        total = total / sum(shares) + stage.weights.loudness * loudness(features)
        if stage.anew:
            total = total + stage.anew * _anew_loss(model, batch, features, stage, generator)
        total.backward()
    crew.average_gradients(model)
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.max_gradient))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient is not finite; lower the rate and resume")
    optimizers.step(rate)
    return {"loss": total.item(), "gradient": norm} | _readings(losses, batch)


def _attention(device: str) -> AbstractContextManager[None]:
    """On a processor fused attention is slower, in bfloat16 six times."""
    return sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()


def clip_losses(
    model: SAM2, batch: Batch, features: FrameFeatures, stage: Stage, forcing: Forcing, generator: torch.Generator
) -> list[FrameLoss]:
    """The loss of every frame of a batch, the prompted one first."""
    cover = F.avg_pool2d(batch.masks.float(), 4)
    rivals = F.avg_pool2d(batch.rivals.float(), 4)
    present = batch.masks.flatten(2).any(2)
    return [
        frame_loss(candidates, cover[:, time], present[:, time], time == 0, stage.weights, rivals[:, time])
        for time, candidates in enumerate(follow(model, batch, features, forcing, generator))
    ]


def _anew_loss(
    model: SAM2, batch: Batch, features: FrameFeatures, stage: Stage, generator: torch.Generator
) -> torch.Tensor:
    candidates, masks = mark_anew(model, batch, features, stage.batches.min_share, generator)
    cover, present = F.avg_pool2d(masks.float(), 4), torch.ones(len(masks), dtype=torch.bool, device=masks.device)
    return frame_loss(candidates, cover, present, True, stage.weights).total


def _readings(losses: list[FrameLoss], batch: Batch) -> dict[str, float]:
    readings = {f"{batch.kind}_iou": losses[0].iou.item(), "mask": losses[0].mask.item()}
    if len(losses) > 1:
        readings["tracked_iou"] = sum(loss.iou.item() for loss in losses[1:]) / (len(losses) - 1)
        readings["last_iou"] = losses[-1].iou.item()
        readings["object_score"] = sum(loss.object_score.item() for loss in losses) / len(losses)
    return readings
