"""Imported by the server of test processes: all that a worker loads, so that each of its forks starts in no time."""

import numpy as np
import scipy.stats  # noqa: F401

import vccapp.jobs.worker
import vccapp.neural.scouter_task
import vccapp.training  # noqa: F401
from vccapp.models.base import MODELS
from vccapp.stats.cell_kernels import gather

list(MODELS)
gather(
    np.zeros((1, 2), np.uint8),
    np.zeros(1, np.int64),
    np.ones(1, np.float32),
    np.zeros(0, np.int64),
    np.zeros(0, np.float32),
    np.empty((1, 2), np.float32),
)
