"""What a run gets from outside: storage, time, a pool, and whoever watches it. A simulation replaces all of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from samurai_batch.ledger.lease import Clock, Holder, this_process
from samurai_batch.ledger.store import Store
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.progress import ProgressSink


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What the driver works with."""

    store: Store
    clock: Clock
    progress: ProgressSink
    make_pool: Callable[[], Pool]
    should_stop: Callable[[], bool]
    holder: Holder = field(default_factory=this_process)
    remove_temporaries: Callable[[], None] = lambda: None
    """Removes temporary files of killed processes from the output; called once, under the lease."""


@dataclass(frozen=True)
class RunDescription:
    """What a run's record says of it."""

    run_id: str
    config: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class RunHooks:
    """What else is done to the output under the lease of a run: before all work, and after the run has finished.

    Each is given a function to call often, which keeps the lease; it may raise OutputLockedError.
    """

    before: Callable[[Callable[[], None]], None] = lambda beat: None
    after: Callable[[Callable[[], None]], None] = lambda beat: None
