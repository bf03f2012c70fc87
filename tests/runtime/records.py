"""Made-up run records."""

from typing import Any

from samurai_batch.ledger.schema import RunRecord


def run_record(run_id: str, **changes: Any) -> RunRecord:
    """The record of a run that finished long ago without work, with ``changes``."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "status": "finished",
        "host": "head",
        "pid": 1,
        "process_start": "",
        "started_at_s": 0.0,
        "heartbeat_at_s": 0.0,
        "config": {},
        "versions": {},
    }
    return RunRecord(**fields | changes)
