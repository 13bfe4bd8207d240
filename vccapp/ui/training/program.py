"""The official program of STATE on the page Train: what is installed, or a button that installs it; its commands."""

import shlex

import streamlit as st

from vccapp.errors import VccAppError
from vccapp.models.base import make_model
from vccapp.neural.arc_state.install import TIME, needs_disk
from vccapp.neural.arc_state.program import find_program
from vccapp.tasks.install_state import InstallState
from vccapp.training import RunSpec
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.jobs import begin_job, list_active, show_jobs
from vccapp.ui.kit.loaders import current_settings
from vccapp.wording import bytes_text, plain

OFFICIAL = "state_official"
"""The model that needs it."""
LICENCE = "Its code and weights have licences of their own (non-commercial)."


def show_program() -> None:
    """Which versions are there and where; else why not, and what installing takes, with a button."""
    settings = current_settings()
    try:
        program = find_program(settings)
    except VccAppError as error:
        reason = str(error)
    else:
        versions = ", ".join(f"{name} {version}" for name, version in program.versions.items())
        st.caption(plain(f"{versions}; {program.command}. {LICENCE}"))
        return
    if settings.state:  # which one is used is decided there, so installing would change nothing
        st.warning(plain(reason), icon=":material/warning:")
        return
    task = InstallState()
    with st.container(border=True, key="train_program"):
        text, action = st.columns([5, 2], vertical_alignment="center")
        text.markdown(
            plain(
                f"{reason.partition(';')[0]}. It goes into an environment of its own, {settings.state_environment}: "
                f"{bytes_text(needs_disk())} of disk, {TIME}. {LICENCE}"
            )
        )
        waiting = any(job.task == task.name for job in list_active())
        if action.button(
            "Install",
            icon=":material/download:",
            key="train_install_program",
            disabled=waiting,
            help=plain(f"By command: {shlex.join(task.command())}"),
            width="stretch",
        ):
            with errors_shown():
                task.check(settings)
                begin_job(task)
                st.rerun()
        show_jobs(task=task.name, limit=1, key="train_program_jobs")


def show_program_commands(spec: RunSpec) -> None:
    """The commands of the program that a run is made of, folded up; nothing where a parameter is wrong."""
    from vccapp.models.state_official import StateOfficial

    try:
        model = make_model(spec.model, spec.params)
        assert isinstance(model, StateOfficial)
        commands = model.commands("state", seed=spec.seed)
    except VccAppError:
        return  # told beside the button
    with st.expander("Commands of the program", icon=":material/terminal:", key="train_program_commands"):
        st.caption(
            "What the run does in a folder of its own, with cells.h5ad, split.toml and features.pt written by the app."
        )
        st.code("\n\n".join(shlex.join(words) for words in commands), language="bash", wrap_lines=True)
