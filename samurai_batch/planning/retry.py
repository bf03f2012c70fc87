"""What follows a failure: a retry, a retry in smaller groups, a restart, or giving up. Numbers in, a verdict out."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from samurai_batch.redaction import redact


class FailureKind(StrEnum):
    """Why an order failed; the ledger keeps these words."""

    VIDEO = "video"  # missing, empty, not a video, changing size
    TRUNCATED = "truncated"
    PROMPT = "prompt"
    STATE = "state"  # saved work that cannot be read back
    STORAGE = "storage"
    OUT_OF_MEMORY = "out_of_memory"
    INTERNAL = "internal"  # an exception nobody foresaw
    DIED = "replica_died"  # its process has ended, and nothing else
    LOST = "replica_lost"  # with its node, or it cannot be reached: chance, most of the time
    PREEMPTED = "replica_preempted"  # its node was taken away on purpose: drained, preempted, shut down


REPLICA_GONE = frozenset({FailureKind.DIED, FailureKind.LOST, FailureKind.PREEMPTED})
"""The replica is gone, without a report."""

PERMANENT = frozenset({FailureKind.VIDEO, FailureKind.TRUNCATED, FailureKind.PROMPT})
"""Failures because of the input: they repeat until the video or the prompt changes."""


@dataclass(frozen=True)
class Failure:
    """One failure as a value; ``frame_reached`` is the first frame a truncated video lacks.

    Its message goes into ledgers and logs, and so is redacted here.
    """

    kind: FailureKind
    message: str
    frame_reached: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redact(self.message))


class Verdict(Enum):
    """What to do with the work of a failed order."""

    AGAIN = "the same order again, on whichever replica is free"
    SPLIT = "several orders of fewer tracks each"
    RESTART = "delete the saved work and start with the first chunk"
    GIVE_UP = "its tracks fail"


@dataclass(frozen=True)
class RetryLimits:
    """How often one chunk is tried: reports of an error, replicas that die of it, and replicas lost with their node.

    A chunk may end a whole node; then many replicas in a row are lost with it.
    """

    max_attempts: int = 3
    max_deaths: int = 3
    max_losses: int = 9


def decide(
    kind: FailureKind,
    *,
    attempts: int,
    deaths: int,
    losses: int,
    num_tracks: int,
    restarted: bool,
    limits: RetryLimits,
    can_split: bool = False,
) -> Verdict:
    """The verdict on an order that failed.

    ``attempts``, ``deaths`` and ``losses`` count the failures of this chunk so far, this one included; ``restarted``
    says that its saved work has been deleted once already. Where it is not known which of several tracks is at fault,
    splitting finds out, so that the others do not fail with it; after a death only where the tracks are independent
    (``can_split``: those of a DetectOrder). A truncation is decided here only if it was known before; a new one is
    applied to each track by its span (`JobState.truncate`).
    """
    match kind:
        case FailureKind.PREEMPTED:
            return Verdict.AGAIN
        case FailureKind.LOST if losses < limits.max_losses:
            return Verdict.AGAIN
        case FailureKind.DIED | FailureKind.LOST if can_split and num_tracks > 1:
            return Verdict.SPLIT
        case FailureKind.LOST:
            return Verdict.GIVE_UP
        case FailureKind.DIED:
            return Verdict.AGAIN if deaths < limits.max_deaths else Verdict.GIVE_UP
        case FailureKind.VIDEO | FailureKind.TRUNCATED:
            return Verdict.GIVE_UP
        case FailureKind.PROMPT:
            return Verdict.SPLIT if num_tracks > 1 else Verdict.GIVE_UP
        case FailureKind.STATE:
            if num_tracks > 1:
                return Verdict.SPLIT
            return Verdict.GIVE_UP if restarted else Verdict.RESTART
        case FailureKind.OUT_OF_MEMORY if num_tracks > 1:
            return Verdict.SPLIT
    if attempts < limits.max_attempts:
        return Verdict.AGAIN
    splits = kind is FailureKind.INTERNAL and num_tracks > 1
    return Verdict.SPLIT if splits else Verdict.GIVE_UP
