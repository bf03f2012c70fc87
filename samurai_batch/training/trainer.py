"""The training loop: can be stopped at any time, and resumes from its state; data-parallel over several processes.

`torchrun --nproc-per-node 2 jobs/train_nano.py …` starts several processes. Each trains on batches of its own, and
DistributedDataParallel averages their gradients, so that all make the same update.
"""

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
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.redaction import get_logger
from samurai_batch.training.batches import Batch, ClipBatches
from samurai_batch.training.initialization import initial_weights, warm_up_decoder, warm_up_memory
from samurai_batch.training.losses import FrameLoss, feature_penalty, frame_loss
from samurai_batch.training.optimizer import Optimizers, update_average
from samurai_batch.training.rollout import MemorySampling, encode_batch, propagate, segment_every_frame
from samurai_batch.training.schedule import Progress, RateSchedule, Stage, TrainingSettings, progress_at
from samurai_batch.training.state import Point, TrainingState, copied, load_state, save_state

logger = get_logger(__name__)

_RANK_SEED = 1_000_003  # distance between the seeds of processes that train together


def train(
    config: Sam2Config, stages: Sequence[Stage], settings: TrainingSettings, folder: Path, stop: threading.Event
) -> TrainingState:
    """Train through the stages and return the last state; resumes from the state in ``folder`` if there is one.

    The state is saved in ``folder`` every few minutes, at the end, and soon after ``stop`` is set in any process. Time
    is counted in CPU minutes of all processes together, so neither a stop nor a shared processor shortens a stage.
    Raises FloatingPointError if a gradient is not finite.
    """
    training = _Training(config, stages, settings, folder, stop)
    while (progress := training.progress()) is not None:
        training.run_stage(progress.stage)
    training.save()
    return training.state


class ClipLoss(nn.Module):
    """The loss of a batch as one module, whose gradients DistributedDataParallel can average."""

    def __init__(self, model: SAM2) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, batch: Batch, stage: Stage, sampling: MemorySampling, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, a scalar, and the metrics to log, without gradients."""
        features = encode_batch(self.model, batch)
        losses = clip_losses(self.model, batch, features, stage, sampling, generator)
        weights = [stage.first_frame_weight, *[1.0] * (len(losses) - 1)]
        total = torch.stack([loss.total * weight for loss, weight in zip(losses, weights, strict=True)]).sum()
        total = total / sum(weights) + stage.loss_weights.features * feature_penalty(features)
        if stage.image_weight:
            total = total + stage.image_weight * _image_loss(self.model, batch, features, stage, generator)
        return total, {"loss": total.detach()} | _metrics(losses, batch)


def clip_losses(
    model: SAM2,
    batch: Batch,
    features: FrameFeatures,
    stage: Stage,
    sampling: MemorySampling,
    generator: torch.Generator,
) -> list[FrameLoss]:
    """The loss of every frame of a batch, the prompted one first."""
    cover = F.avg_pool2d(batch.masks.float(), 4)
    distractors = F.avg_pool2d(batch.distractors.float(), 4)
    present = batch.masks.flatten(2).any(2)
    return [
        frame_loss(candidates, cover[:, time], present[:, time], time == 0, stage.loss_weights, distractors[:, time])
        for time, candidates in enumerate(propagate(model, batch, features, sampling, generator))
    ]


def _image_loss(model: SAM2, batch: Batch, features: FrameFeatures, stage: Stage, generator: torch.Generator) -> Tensor:
    candidates, masks = segment_every_frame(model, batch, features, stage.batches.min_share, generator)
    cover, present = F.avg_pool2d(masks.float(), 4), torch.ones(len(masks), dtype=torch.bool, device=masks.device)
    return frame_loss(candidates, cover, present, True, stage.loss_weights).total


def _metrics(losses: list[FrameLoss], batch: Batch) -> dict[str, Tensor]:
    metrics = {f"{batch.kind}_iou": losses[0].iou, "mask": losses[0].mask}
    if len(losses) > 1:
        metrics["tracked_iou"] = torch.stack([loss.iou for loss in losses[1:]]).mean()
        metrics["last_iou"] = losses[-1].iou
        metrics["object_score"] = torch.stack([loss.object_score for loss in losses]).mean()
    return metrics


def data_parallel(loss: ClipLoss) -> nn.Module:
    """The same module, with gradients averaged over all processes; as it is where there is one process alone.

    All processes start with the parameters of rank 0.
    """
    if not dist.is_initialized():
        return loss
    # A batch's kind of prompt decides which parameters get gradients, and each process has a batch of its own.
    return DistributedDataParallel(loss, find_unused_parameters=True)


@dataclass
class _Averages:
    """Means of the metrics since the last line of the log; not every step has every metric."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self.values.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        means = {name: sum(values) / len(values) for name, values in self.values.items()}
        self.values = {}
        return means


class _Training:
    """One session of a training: its state, and what ends it."""

    def __init__(
        self,
        config: Sam2Config,
        stages: Sequence[Stage],
        settings: TrainingSettings,
        folder: Path,
        stop: threading.Event,
    ) -> None:
        self.config, self.stages, self.settings, self.folder = config, stages, settings, folder
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self._stop, self._is_stopping = stop, False
        state = load_state(folder)
        if state is None:
            weights = initial_weights(config, settings.seed)
            state = TrainingState.fresh(warm_up_decoder(config, weights, settings.seed, settings.prompt_warmup_steps))
            self.state = state
            self.save()
        self.state = state
        self.rates = RateSchedule(state.step, state.elapsed_s / 60, settings)
        self._count(0.0)

    def save(self) -> None:
        """Write the state, by one process for all."""
        if self.rank == 0:
            save_state(self.folder, self.state)

    def progress(self) -> Progress | None:
        """Where the training is; None if it is over, cooled down or told to stop."""
        minute = self.state.elapsed_s / 60
        progress = progress_at(self.stages, minute)
        if progress is None or self._is_stopping:
            return None
        has_cooled_down = self.stages[progress.stage].constant_rate and self.rates.cooled_down(minute) >= 1
        return None if has_cooled_down else progress

    def run_stage(self, index: int) -> None:
        """Train until the stage's minutes are over, or the training is."""
        stage, state, settings = self.stages[index], self.state, self.settings
        is_new = not state.curve or state.curve[-1].stage != stage.name
        if stage.warms_up_memory and is_new:
            self._warm_up_memory(index)
        model = SAM2(self.config, stage.batches.size).float().to(settings.device)
        model.load_state_dict(state.weights)
        average = {name: tensor.to(settings.device) for name, tensor in state.average.items()}
        objective = data_parallel(ClipLoss(model))
        optimizers = Optimizers(model, settings.learning_rate, settings.weight_decay)
        optimizers.load_tensors(state.optimizer)
        seed = (settings.seed, index, state.step, *([self.rank] if self.rank else []))
        generator = torch.Generator().manual_seed(settings.seed + state.step + _RANK_SEED * self.rank)
        averages, saved_s, started_s = _Averages(), time.monotonic(), time.process_time()
        logger.info("stage %s from step %d", stage.name, state.step)
        turns = [(turn, iter(_loader(turn, seed, settings.num_loaders))) for turn in stage.turns()]
        while (progress := self.progress()) is not None and progress.stage == index:
            turn, batches = turns[state.step % len(turns)]
            batch = next(batches).to(settings.device)
            averages.add(self._step(objective, optimizers, batch, turn, progress, generator))
            decay = min(stage.average_decay, (state.step + 1) / (state.step + 10))
            update_average(average.values(), (model.state_dict()[name] for name in average), decay)
            state.step += 1
            self._count(time.process_time() - started_s)
            started_s = time.process_time()
            if state.step % settings.log_every_steps == 0:
                state.curve.append(Point(state.step, round(state.elapsed_s), stage.name, averages.take()))
                logger.info("%s", state.curve[-1])
            if self.rank == 0 and time.monotonic() - saved_s > settings.save_every_s:
                _capture(state, model, average, optimizers)
                self.save()
                saved_s = time.monotonic()
        _capture(state, model, average, optimizers)

    def _step(
        self,
        objective: nn.Module,
        optimizers: Optimizers,
        batch: Batch,
        stage: Stage,
        progress: Progress,
        generator: torch.Generator,
    ) -> dict[str, float]:
        """One update of the parameters; returns the metrics of this process's batch."""
        sampling = MemorySampling(stage.teacher_forcing_at(progress.stage_share), stage.memory_dropout)
        with _attention(self.settings.device):
            total, metrics = objective(batch, stage, sampling, generator)
            total.backward()
        norm = nn.utils.clip_grad_norm_(objective.parameters(), self.settings.max_gradient_norm).item()
        if not math.isfinite(norm):
            raise FloatingPointError("the gradient is not finite; lower the learning rate and resume")
        optimizers.step(self.rates.factor(stage, progress, self.state.step, self.state.elapsed_s / 60))
        return {name: value.item() for name, value in metrics.items()} | {"gradient": norm}

    def _warm_up_memory(self, index: int) -> None:
        stage, state, settings = self.stages[index], self.state, self.settings
        frames = ClipBatches(replace(stage.batches, clips=4), (settings.seed, index))[0].frames.flatten(0, 1)
        steps = settings.prompt_warmup_steps // 3
        state.weights = warm_up_memory(self.config, state.average, frames, settings.seed, steps)
        state.average = copied(state.weights)

    def _count(self, seconds: float) -> None:
        """Add the CPU seconds of all processes to the state; all stop with this step if any was told to."""
        totals = torch.tensor([seconds, float(self._stop.is_set())], dtype=torch.float64)
        if dist.is_initialized():
            dist.all_reduce(totals)
        self.state.elapsed_s += float(totals[0])
        self._is_stopping = bool(totals[1] > 0)


def _capture(state: TrainingState, model: SAM2, average: dict[str, Tensor], optimizers: Optimizers) -> None:
    state.weights = copied(model.state_dict())
    state.average = copied(average)
    state.optimizer = copied(optimizers.tensors())


def _loader(stage: Stage, seed: tuple[int, ...], num_loaders: int) -> DataLoader[Batch]:
    """Batches, generated a few ahead by worker processes."""
    return DataLoader(
        ClipBatches(stage.batches, seed, num_workers=num_loaders),
        batch_size=None,
        num_workers=num_loaders,
        prefetch_factor=4,
        worker_init_fn=_init_worker,
    )


def _init_worker(worker: int) -> None:
    for name in (signal.SIGINT, signal.SIGTERM):  # sent to the whole process group; the training process handles them
        signal.signal(name, signal.SIG_IGN)
    torch.set_num_threads(1)
    os.nice(2)


def _attention(device: str) -> AbstractContextManager[None]:
    """On a CPU PyTorch's fused attention is slower here, in bfloat16 by a factor of six."""
    return sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()
