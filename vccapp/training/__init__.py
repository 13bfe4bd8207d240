"""Runs: train a model on a split, go on with one, list what was trained, read it back."""

from vccapp.training.run import (
    RunRecord,
    RunSpec,
    check_resume,
    check_run,
    list_runs,
    load_run,
    make_run_id,
    resume,
    train,
)

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
