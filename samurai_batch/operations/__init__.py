"""Day after day: submit jobs, re-run them on what is new or stale, keep the history, compare results."""
