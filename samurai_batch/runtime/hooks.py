"""What somebody else does to an output under the lease of a run."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RunHooks:
    """What else is done to the output while a run holds its lease: before all work, and after it has finished.

    Each is given a function to call now and then, which shows that the run lives; it may raise OutputLockedError.
    """

    before: Callable[[Callable[[], None]], None] = lambda beat: None
    after: Callable[[Callable[[], None]], None] = lambda beat: None
