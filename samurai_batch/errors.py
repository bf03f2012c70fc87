"""The errors that this package raises on purpose.

    SamuraiBatchError
    ├── UsageError                 a mistake of the user: exit code 2
    │   ├── ConfigError            in a job, an option or an argument
    │   ├── PromptsError           in rows of a prompts table, all of which it lists
    │   ├── CheckpointError        in the choice of a weights file
    │   └── StoreError             in a URI, whose store cannot be used; also a StorageError
    ├── OutputLockedError          another run is writing to the output: exit code 2
    ├── VideoError                 a video cannot be read: its tracks fail, the job goes on
    │   └── TruncatedVideoError    a video ends too early
    ├── PromptError                a prompt or track is wrong, or lies outside its video: the track fails
    ├── LedgerError                a file of the ledger is damaged
    ├── StateError                 a saved track state is damaged
    └── StorageError               storage failed after all retries

A message says in one sentence what is wrong, where, and how to correct it. It holds no secrets: texts are redacted by
`samurai_batch.redaction`. Broken invariants of the code are ``assert`` statements, not errors of this module.
"""

import sys

from samurai_batch.redaction import redact, redact_error


class SamuraiBatchError(Exception):
    """Base of all errors raised on purpose by this package; catch it to catch them all.

    Its texts are redacted, and so are those of the exception that is being handled, which a traceback shows as well.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(one) if isinstance(one, str) else one for one in args))
        if (cause := sys.exc_info()[1]) is not None:
            redact_error(cause)


class UsageError(SamuraiBatchError):
    """A mistake of the user. The command line prints it as one line and exits with code 2."""


class ConfigError(UsageError):
    """A field of a job, a setting, an option or an argument has a value that cannot be used.

    Raised by `JobConfig`, `make_job`, `load_job`, `TrackerSettings`, `track` and the command line. Correct the value.
    """


class PromptsError(UsageError):
    """A prompts table has mistakes; ``problems`` lists all of them, with row and column.

    Raised by `read_prompts`, `parse_prompts` and `write_prompts`. Correct the rows and run the same command again.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = redact(source)
        self.problems = [redact(problem) for problem in problems]
        lines = (f"  {problem}" for problem in self.problems)
        super().__init__(f"{self.source}: {len(problems)} problem(s)\n" + "\n".join(lines))


class CheckpointError(UsageError):
    """A weights file is missing, damaged, or belongs to another model.

    Raised by `load_weights` and by jobs. Give the checkpoint of the model that is named.
    """


class OutputLockedError(SamuraiBatchError):
    """Another run is writing to the same output folder.

    Raised by `run_job`. Wait until that run has ended, or use another output.
    """


class VideoError(SamuraiBatchError):
    """A video is missing, empty or damaged, is no video, or its frames change size.

    Raised by `open_video` and `track`. In a job, the tracks of the video fail; they are retried once the file changes.
    """


class TruncatedVideoError(VideoError):
    """A video has fewer frames than it declares; ``frame_reached`` is the first missing frame.

    In a job, the tracks fail; with ``keep_partial: true`` the rows up to that frame are published.
    """

    def __init__(self, message: str, frame_reached: int) -> None:
        self.frame_reached = frame_reached
        super().__init__(message)


class PromptError(SamuraiBatchError):
    """A prompt or a track has a wrong value, or lies outside its video.

    Raised by `BoxPrompt`, `Track` and the like when they are made, and by `track`. In a job, a prompt outside its video
    fails its track. Correct the prompt.
    """


class LedgerError(SamuraiBatchError):
    """A file of the ledger is damaged, or was written by an incompatible version of this package.

    Raised when an output is read. Use the version that wrote the output, or restore or delete the file named.
    """


class StateError(SamuraiBatchError):
    """A saved track state is damaged, or was written by another version or model.

    Raised within jobs, which then compute the track again from its start. Nothing needs to be done.
    """


class StorageError(SamuraiBatchError):
    """Storage failed after all retries.

    Raised by everything that reads or writes files. Once the storage works again, the same command resumes the job.
    """


class StoreError(UsageError, StorageError):
    """The store of a URI cannot be used: it is unknown, not installed or read-only, or it has no such bucket.

    Raised before a job starts. Install the extra that the message names, or correct the URI.
    """
