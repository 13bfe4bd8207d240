"""Starting a training on a page: what it takes, whether it would wait, why it cannot start, and the button."""

import math
from typing import Any

import streamlit as st

from vccapp.data.resources import count_threads
from vccapp.data.splits.split import Split
from vccapp.errors import VccAppError
from vccapp.jobs.job import CLAIMED, Job
from vccapp.jobs.keeping.admission import choose
from vccapp.jobs.keeping.launch import environment_of_job, limits_of
from vccapp.models.base import make_model
from vccapp.settings import Settings
from vccapp.stats.index import Index
from vccapp.tasks.base import Needs
from vccapp.tasks.train import Train
from vccapp.training import check_run
from vccapp.training.fit import estimate_fit
from vccapp.ui.kit.forms import named
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, list_active
from vccapp.ui.kit.loaders import cached, current_settings
from vccapp.ui.standard_split import keep_split
from vccapp.wording import plain

AFTER = "train_after"


def choose_after() -> tuple[str, ...]:
    """Jobs that must have succeeded before the training starts; not asked while there are none."""
    titles = {job.id: f"{job.title} · {job.state}" for job in list_active()}
    chosen = [name for name in st.session_state.get(AFTER, []) if name in titles]
    if not titles:
        return ()
    st.session_state[AFTER] = chosen  # one that has ended meanwhile is not among the options any more
    help = "The training starts once these have succeeded; where one of them fails it does not start"
    return tuple(
        st.multiselect("Start after", list(titles), key=AFTER, format_func=named(titles), help=help, placeholder="none")
    )


def show_estimate(task: Train, index: Index, split: Split, after: tuple[str, ...]) -> None:
    """Time, memory and threads that a training will take, and whether it would start at once."""
    settings = task.shared_by(current_settings())
    try:
        model = make_model(task.model, task.params)
        ranks = 1 if settings.devices == "auto" or not model.shared else settings.devices
        estimate = estimate_fit(model, index, split, settings, ranks=ranks)
    except VccAppError:
        return  # told beside the button
    gpus = ranks if model.shared and settings.device != "cpu" else 0
    threads = min(count_threads(), settings.threads or count_threads())
    needs = Needs(memory_bytes=estimate.memory_bytes, threads=threads, gpus=gpus)
    many = f"{threads} thread{'s' * (threads > 1)}"
    wait = "Is sent to the cluster at once" if task.on == "ray" else explain_wait(task, needs, settings, after)
    st.caption(plain(f"{estimate.describe()} {many}. {wait}."))


def explain_wait(task: Train, needs: Needs, settings: Settings, after: tuple[str, ...] = ()) -> str:
    """Whether a job that is started now runs at once, or what it waits for, as the queue decides."""
    blank = {"fraction": 0.0, "message": "", "created": math.inf, "error_code": "", "reason": ""}
    blank |= dict.fromkeys(("started", "ended", "heartbeat", "pid", "pid_created", "exit_code", "result"))
    job = Job(
        id="",
        task=task.name,
        title=task.title,
        params={},
        state="queued",
        needs=needs,
        after=after,
        environ=environment_of_job(settings),
        **blank,
    )
    active = list_active()
    queued = sorted((other for other in active if other.state == "queued"), key=lambda other: other.place)
    free = [other for other in queued if not other.after]  # what waits for others holds nobody up
    claimed = [other for other in active if other.state in CLAIMED]
    known = {other.id: other for other in active}
    states, titles = {name: own.state for name, own in known.items()}, {name: own.title for name, own in known.items()}
    found = choose([*free, job], claimed, limits_of(job), states=states, titles=titles)
    return found.waits.get(job.id, "Starts at once")


def show_start_button(
    task: Train, index: Index, split: Split, problems: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """The button that starts the training; where it is grey, why."""
    reason = explain_refusal(task, index, split, problems)
    pressed = st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        key="train_start",
        disabled=bool(reason),
    )
    if reason:
        st.caption(plain(reason))
    elif pressed:
        with errors_shown():
            keep_split(split)
            task.check(current_settings())
            begin_job(task, after=after)
            st.rerun()


def explain_refusal(task: Train, index: Index, split: Split, problems: tuple[str, ...]) -> str:
    """Why a training cannot start, in one sentence; empty where it can. Nothing is written."""
    if problems:
        return problems[0]
    settings = task.shared_by(current_settings())
    try:
        _check(task.model_dump_json(), split.model_dump_json(), index, settings.model_dump_json())
    except VccAppError as error:
        return str(error)
    if any(_is_same(job.params, task) for job in list_active() if job.task == task.name):
        return "The same training waits or runs already; change a parameter, the seed or the title to start another."
    return ""


@cached(max_entries=32, show_spinner="Checking the choice")
def _check(task: str, split: str, index: Index, settings: str) -> None:
    """Raise what the training would refuse, all told as JSON; what was found well is not looked at again."""
    spec, known = Train.model_validate_json(task).spec, Split.model_validate_json(split)
    check_run(spec, Settings.model_validate_json(settings), index=index, split=known)


def _is_same(params: dict[str, Any], task: Train) -> bool:
    """Whether the parameters of a job are those of a task, whatever its run is called."""
    return params | {"run_id": ""} == task.model_dump(mode="json") | {"run_id": ""}
