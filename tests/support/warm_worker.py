"""Imported by the server of test processes: all that a worker loads, so that each of its forks starts in no time."""

import scipy.stats  # noqa: F401

import vccapp.jobs.worker
import vccapp.neural.scouter.task
import vccapp.training  # noqa: F401
from vccapp.models.base import MODELS

list(MODELS)
