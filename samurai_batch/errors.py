"""Every error this package raises on purpose.

    SamuraiBatchError
    ├── UsageError             the caller's mistake: exit code 2
    │   ├── ConfigError        a job configuration or an argument
    │   ├── PromptsError       rows of a prompts table, all of them at once
    │   ├── CheckpointError    a weights file that is not the model it is said to be
    │   └── StoreError         a URI whose store cannot be used; it is a StorageError, too
    ├── OutputLockedError      another run is writing to this output: exit code 2
    ├── VideoError             a video that cannot be read: its tracks fail, the job goes on
    │   └── TruncatedVideoError    ... and which frame was reached
    ├── PromptError            a prompt or track that makes no sense, or does not fit its video: its track fails
    ├── LedgerError            a ledger object that cannot be trusted
    ├── StateError             a saved track state that cannot be trusted
    └── StorageError           storage that kept failing after bounded retries

Messages are one sentence each: what, where, how to mend it. An invariant of our own is an ``assert``.
Nothing secret stands in a message: see `samurai_batch.redaction`.
"""

import sys

from samurai_batch.redaction import redact, redact_error


class SamuraiBatchError(Exception):
    """Base of all errors raised on purpose by this package.

    Its texts are redacted, and so are those of the error that is being handled when it is made: a traceback shows both.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(one) if isinstance(one, str) else one for one in args))
        if (cause := sys.exc_info()[1]) is not None:
            redact_error(cause)


class UsageError(SamuraiBatchError):
    """The caller's mistake; the command line prints it as one line and exits with 2."""


class ConfigError(UsageError):
    """A field of a configuration, or an argument, has a value that cannot be used."""


class PromptsError(UsageError):
    """A prompts table has bad rows; ``problems`` lists every one of them."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = redact(source)
        self.problems = [redact(problem) for problem in problems]
        lines = (f"  {problem}" for problem in self.problems)
        super().__init__(f"{self.source}: {len(problems)} problem(s)\n" + "\n".join(lines))


class CheckpointError(UsageError):
    """A weights file is missing, damaged, or of another model."""


class OutputLockedError(SamuraiBatchError):
    """Another live run is writing to the same output folder."""


class VideoError(SamuraiBatchError):
    """A video is missing, empty, not a video, or changes its size on the way."""


class TruncatedVideoError(VideoError):
    """A video ends before the number of frames it declares; ``frame_reached`` is the first one missing."""

    def __init__(self, message: str, frame_reached: int) -> None:
        self.frame_reached = frame_reached
        super().__init__(message)


class PromptError(SamuraiBatchError):
    """A prompt or a track that makes no sense in itself, or does not fit the video it belongs to."""


class LedgerError(SamuraiBatchError):
    """A ledger object is damaged, or another version of this package wrote it."""


class StateError(SamuraiBatchError):
    """A saved track state is damaged, or was written by another version or model."""


class StorageError(SamuraiBatchError):
    """Storage kept answering with errors after the bounded number of retries."""


class StoreError(UsageError, StorageError):
    """A URI names a store that cannot be used: unknown, not installed, only to be read, or without such a bucket."""
