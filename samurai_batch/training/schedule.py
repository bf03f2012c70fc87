"""What is trained when: stages with a length in minutes, and the learning rate over them all."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from samurai_batch.training.batches import BatchSettings
from samurai_batch.training.losses import LossWeights


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a curriculum.

    ``truth`` is the chance that memory holds the true mask, at the stage's start and end; ``drop`` that an older memory
    is left out; ``first_frame`` is how many times the prompted frame counts, and ``anew`` how many times, beside all
    that, the mean over the objects marked anew on every frame. ``rate`` is a factor on the learning rate. The stage
    that ``starts_memory`` is the first with clips after pictures, during which the encoder's features have grown. In a
    ``steady`` stage the learning rate stays level until the training is told to finish.
    """

    name: str
    minutes: float
    batches: BatchSettings
    weights: LossWeights = field(default_factory=LossWeights)
    truth: tuple[float, float] = (1.0, 1.0)
    drop: float = 0.15
    first_frame: float = 1.0
    anew: float = 0.0
    rate: float = 1.0
    starts_memory: bool = False
    steady: bool = False


@dataclass(frozen=True)
class Moment:
    """Where a run stands: the stage's index, the share of it and of the whole run that is over (0 to 1)."""

    stage: int
    stage_share: float
    share: float


def moment(stages: Sequence[Stage], elapsed_minutes: float) -> Moment | None:
    """Where a run of these stages stands after so many minutes of training; None when it is over."""
    begin, total = 0.0, sum(stage.minutes for stage in stages)
    for index, stage in enumerate(stages):
        if elapsed_minutes < begin + stage.minutes:
            return Moment(index, (elapsed_minutes - begin) / stage.minutes, elapsed_minutes / total)
        begin += stage.minutes
    return None


def truth_chance(stage: Stage, stage_share: float) -> float:
    """The chance of teacher forcing within a stage, moving evenly from its start to its end."""
    start, end = stage.truth
    return start + (end - start) * stage_share


def rate_factor(step: int, share: float, warm_steps: int, decay_from: float) -> float:
    """The learning rate's factor: up over the first steps, level, then down to 2 % from ``decay_from`` on."""
    warm = min((step + 1) / warm_steps, 1.0)
    fall = max(share - decay_from, 0.0) / (1.0 - decay_from)
    return warm * (1.0 - 0.98 * min(fall, 1.0))


def steady_factor(steps: int, warm_steps: int, finished: float) -> float:
    """The learning rate's factor in a steady stage: up over the first ``steps`` of a sitting, level, then, by the share
    ``finished`` of the cool-down, evenly down to 2 %.
    """
    return min((steps + 1) / warm_steps, 1.0) * (1.0 - 0.98 * min(max(finished, 0.0), 1.0))
