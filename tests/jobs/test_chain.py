"""From a file to scores: jobs one after another."""

import time

import pytest
from toy import make_counts

from vccapp.errors import DataError, SpecError, VccAppError
from vccapp.jobs.chain import start_chain
from vccapp.jobs.store import JobStore
from vccapp.submission.plan import load_plan
from vccapp.submission.report import find_report
from vccapp.tasks.index import Index
from vccapp.training import load_run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "cells.h5ad"
    make_counts(n_cells=400, n_perturbations=8).write_h5ad(path)
    return path


def test_wrong_choices_queue_nothing(settings, data, tmp_path):
    index = Index(paths=(data,))
    for model, params, more in (
        ("no", {}, {}),
        ("ridge", {"no": 1}, {}),
        ("perturbation_mean", {}, {"scorer": "no"}),
        ("perturbation_mean", {}, {"season": "no"}),
    ):
        with pytest.raises(VccAppError) as error:
            start_chain(settings, index, model, params, **more)
        assert error.type is SpecError
    with pytest.raises(DataError):
        start_chain(settings, Index(paths=(tmp_path / "no.h5ad",)), "perturbation_mean", {})
    with JobStore(settings) as store:
        assert store.find() == []


@pytest.mark.slow
def test_a_chain_ends_with_scores_and_a_package_and_nobody_looks(settings, data):
    more = {"scorer": "vccapp", "season": "vcc2025", "practice": True}
    jobs = start_chain(settings, Index(paths=(data,)), "perturbation_mean", {}, title="whole", **more)
    assert [job.task for job in jobs] == ["index", "split", "train", "score", "plan", "build"]
    with JobStore(settings) as store:
        give_up = time.monotonic() + 300
        while any(store.get(job.id).active for job in jobs):
            assert time.monotonic() < give_up
            time.sleep(0.1)
        ended = [store.get(job.id) for job in jobs]
    assert [job.state for job in ended] == ["succeeded"] * 6, [job.reason for job in ended]
    assert all(before.ended <= after.started for before, after in zip(ended, ended[1:], strict=False))
    run = load_run(ended[2].params["run_id"], settings)
    assert run.spec.title == "whole" and run.state == "finished" and ended[3].result["means"]
    plan = load_plan(ended[4].result["plan"], settings)
    assert plan.runs == (run.id,) and plan.practice and set(plan.cells) == set(run.split.test)
    report = find_report(plan, settings)
    assert report is not None and report.package is not None
    again = start_chain(settings, Index(paths=(data,)), "perturbation_mean", {}, title="again")
    assert [job.task for job in again] == ["split", "train"]  # the index is there
