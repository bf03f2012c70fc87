"""The training schedule: stages with a length in minutes, and the learning rate over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from samurai_batch.training.batches import BatchSettings
from samurai_batch.training.losses import LossWeights

_LAST_FACTOR = 0.02  # of the learning rate, at the end of its decay


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained, independent of the data.

    ``warmup_steps`` is the length of the learning rate's linear warm-up, ``prompt_warmup_steps`` that of the decoder's
    training on ellipses before the first stage (`initialization.warm_up_decoder`). From the share ``decay_from`` of the
    whole schedule on, the learning rate decays linearly. ``cooldown_minutes`` ends a stage of constant rate: counted
    from the start of this session, the learning rate decays over so many minutes, and then the training ends.
    ``num_loaders`` processes generate batches for ``device``, and as many those of pictures.
    """

    seed: int = 0
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup_steps: int = 40
    prompt_warmup_steps: int = 300
    decay_from: float = 0.55
    max_gradient_norm: float = 1.0
    save_every_s: float = 180.0
    log_every_steps: int = 20
    cooldown_minutes: float | None = None
    device: str = "cpu"
    num_loaders: int = 1


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a curriculum, ``minutes`` long.

    ``teacher_forcing`` is the probability that memory holds the true mask, at the stage's start and end;
    ``memory_dropout`` that an older memory is left out. ``first_frame_weight`` is the weight of the prompted frame's
    loss, relative to a later frame's; ``image_weight`` that of the loss of every object on every frame, segmented from
    its box without memory. ``rate_factor`` multiplies the learning rate. ``warms_up_memory`` marks the first stage of
    clips after stages of single images: memory is trained on ellipses before it (`initialization.warm_up_memory`). With
    ``constant_rate`` the learning rate stays level until the training is told to cool down. ``average_decay`` is
    that of the exponential moving average of the weights, per step: a window of about 1 / (1 − decay) steps. With
    ``pictures``, batches of single frames, every second step segments those instead of clips. A batch of clips has
    few scenes, and a batch of as many single frames has one scene per frame, so its gradients are less noisy.
    """

    name: str
    minutes: float
    batches: BatchSettings
    loss_weights: LossWeights = field(default_factory=LossWeights)
    teacher_forcing: tuple[float, float] = (1.0, 1.0)
    memory_dropout: float = 0.15
    first_frame_weight: float = 1.0
    image_weight: float = 0.0
    rate_factor: float = 1.0
    warms_up_memory: bool = False
    constant_rate: bool = False
    average_decay: float = 0.99
    pictures: BatchSettings | None = None

    def turns(self) -> tuple["Stage", ...]:
        """The stages whose batches and losses the steps have in turn: this one, and that of its ``pictures``.

        Pictures leave the object score alone: their objects are always there.
        """
        if self.pictures is None:
            return (self,)
        losses = replace(self.loss_weights, object_score=0.0)
        return self, replace(self, batches=self.pictures, loss_weights=losses, image_weight=0.0, pictures=None)

    def teacher_forcing_at(self, stage_share: float) -> float:
        """The probability of teacher forcing at a share (0 to 1) of the stage, interpolated linearly."""
        start, end = self.teacher_forcing
        return start + (end - start) * stage_share


@dataclass(frozen=True)
class Progress:
    """The current stage's index, and the shares (0 to 1) of that stage and of the whole schedule that are over."""

    stage: int
    stage_share: float
    share: float


def progress_at(stages: Sequence[Stage], elapsed_minutes: float) -> Progress | None:
    """The progress after so many minutes of training; None when the schedule is over."""
    begin, total = 0.0, sum(stage.minutes for stage in stages)
    for index, stage in enumerate(stages):
        if elapsed_minutes < begin + stage.minutes:
            return Progress(index, (elapsed_minutes - begin) / stage.minutes, elapsed_minutes / total)
        begin += stage.minutes
    return None


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate's factor in one session: from the step and minute at which the training started or resumed."""

    start_step: int
    start_minute: float
    settings: TrainingSettings

    def cooled_down(self, minute: float) -> float:
        """The share of the cool-down that is over; 0 without one."""
        length = self.settings.cooldown_minutes
        return 0.0 if length is None else (minute - self.start_minute) / length

    def factor(self, stage: Stage, progress: Progress, step: int, minute: float) -> float:
        """The factor on the base learning rate: linear warm-up, level, then linear decay to 2 %.

        A stage of constant rate warms up after every resume, unless it cools down.
        """
        warmup_steps = self.settings.warmup_steps
        if stage.constant_rate:
            decayed = self.cooled_down(minute)
            steps = step - self.start_step if self.settings.cooldown_minutes is None else warmup_steps
        else:
            decayed = (progress.share - self.settings.decay_from) / (1.0 - self.settings.decay_from)
            steps = step
        decay = 1.0 - (1.0 - _LAST_FACTOR) * min(max(decayed, 0.0), 1.0)
        return stage.rate_factor * min((steps + 1) / warmup_steps, 1.0) * decay
