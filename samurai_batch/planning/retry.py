"""What follows a failure: again, in smaller groups, from the start, or not at all. Numbers in, a verdict out."""

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
"""Nobody has answered."""

PERMANENT = frozenset({FailureKind.VIDEO, FailureKind.TRUNCATED, FailureKind.PROMPT})
"""What lies in the input: as long as that is the same, so is the failure."""


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
    RESTART = "throw the saved work away and begin at the first chunk"
    GIVE_UP = "its tracks fail"


@dataclass(frozen=True)
class RetryLimits:
    """How often one chunk is tried: errors it may answer with, replicas it may kill, and replicas that may be lost.

    A chunk can take a whole node with it, too; nodes that nobody has announced to leave are many in a row, then.
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
    can_part: bool = False,
) -> Verdict:
    """The verdict on an order that failed.

    ``attempts``, ``deaths`` and ``losses`` count the failures of this chunk so far, this one included; ``restarted``
    says that its saved work has been thrown away once already. Where it is not known which of several tracks is at
    fault, splitting finds out, and keeps it from taking the others with it; after a death only where the tracks
    have nothing in common (``can_part``: looks). A truncated video is decided here only when it says nothing
    new: else it depends on the tracks' spans who reaches the missing frames.
    """
    match kind:
        case FailureKind.PREEMPTED:
            return Verdict.AGAIN
        case FailureKind.LOST if losses < limits.max_losses:
            return Verdict.AGAIN
        case FailureKind.DIED | FailureKind.LOST if can_part and num_tracks > 1:
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
