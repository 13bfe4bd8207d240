"""Runs: train a model on a split, go on with one, list what was trained, read it back."""

from vccapp.training.record import RunRecord, RunSpec, list_runs, load_run, make_run_id
from vccapp.training.run import check_resume, check_run, resume, train

__all__ = [
    "RunRecord",
    "RunSpec",
    "check_resume",
    "check_run",
    "list_runs",
    "load_run",
    "make_run_id",
    "resume",
    "train",
]
