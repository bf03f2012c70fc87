"""The configuration of a job, from Python or from a YAML file."""

from samurai_batch.job.config import JobConfig
from samurai_batch.job.loading import load_job, make_job

__all__ = ["JobConfig", "load_job", "make_job"]
