"""Benchmarks: their prompts tables, and the scores of mask tables on them."""

from samurai_batch.evaluation.datasets import DATASETS, read_sequences, sequence_tracks, write_dataset_prompts
from samurai_batch.evaluation.evaluate import Evaluation, evaluate

__all__ = ["DATASETS", "Evaluation", "evaluate", "read_sequences", "sequence_tracks", "write_dataset_prompts"]
