"""From a file to scores: jobs one after another."""

import time

import pytest
from toy import make_counts

from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.jobs.chain import start_chain
from vccapp.jobs.store import JobStore
from vccapp.tasks.index import Index
from vccapp.training import load_run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "cells.h5ad"
    make_counts(n_cells=400, n_perturbations=8).write_h5ad(path)
    return path


def test_wrong_choices_queue_nothing(settings, data, tmp_path):
    index = Index(paths=(data,))
    for model, params, scorer in (("no", {}, ""), ("ridge", {"no": 1}, ""), ("perturbation_mean", {}, "no")):
        with pytest.raises(VccAppError) as error:
            start_chain(settings, index, model, params, scorer=scorer)
        assert error.type is SpecError
    with pytest.raises(DataError):
        start_chain(settings, Index(paths=(tmp_path / "no.h5ad",)), "perturbation_mean", {})
    with JobStore(settings) as store:
        assert store.find() == []


@pytest.mark.slow
def test_a_chain_ends_with_scores_and_nobody_looks(settings, data):
    jobs = start_chain(settings, Index(paths=(data,)), "perturbation_mean", {}, title="whole", scorer="vccapp")
    assert [job.task for job in jobs] == ["index", "split", "train", "score"]
    with JobStore(settings) as store:
        give_up = time.monotonic() + 300
        while any(store.get(job.id).active for job in jobs):
            assert time.monotonic() < give_up
            time.sleep(0.1)
        ended = [store.get(job.id) for job in jobs]
    assert [job.state for job in ended] == ["succeeded"] * 4, [job.reason for job in ended]
    assert all(before.ended <= after.started for before, after in zip(ended, ended[1:], strict=False))
    run = load_run(ended[2].params["run_id"], settings)
    assert run.spec.title == "whole" and run.state == "finished" and ended[3].result["means"]
    again = start_chain(settings, Index(paths=(data,)), "perturbation_mean", {}, title="again")
    assert [job.task for job in again] == ["split", "train"]  # the index is there
