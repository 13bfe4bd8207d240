"""What can be done with the chosen runs: stop, resume, clone, name, note, tag, pin, delete and bring back."""

import contextlib
from collections.abc import Callable, Sequence

import streamlit as st

from vccapp.errors import VccAppError
from vccapp.jobs.local import move_in_queue
from vccapp.jobs.runs import Entry, delete_runs, plan_resume, stop_run
from vccapp.submission.uses import list_uses
from vccapp.training import RunRecord, RunSpec
from vccapp.training.runs.bin import empty_bin, list_deleted, restore_run
from vccapp.training.runs.notes import pin, rename, set_note, set_tags, unpin
from vccapp.ui.kit.frame import errors_shown, page_link
from vccapp.ui.kit.jobs import begin_job
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.runs.choice import choose
from vccapp.wording import bytes_text, plain, plain_lines

CloneLink = Callable[[RunSpec], dict[str, str]]
DELETED, FAILED = "runs_deleted", "runs_failed"


def show_actions(entries: Sequence[Entry], *, clone_link: CloneLink | None = None) -> None:
    """Buttons for what these runs can do now; those that only one run can are there for one alone.

    clone_link : the parameters of an address that fills the form of Train
    """
    [one, *others] = entries
    alone = not others
    _say_failure()
    with st.container(horizontal=True, key="runs_actions"):
        if working := [entry for entry in entries if entry.active and entry.job is not None]:
            _button("Stop", "stop_circle", _stop, working, help="With a checkpoint, from which it can resume")
            if stopping := [entry for entry in working if entry.state == "stopping"]:
                _button("Stop by force", "dangerous", _force, stopping, help="Now, without a checkpoint of this moment")
        if waiting := [entry for entry in entries if entry.state == "queued"]:
            _button("To the front", "vertical_align_top", _first, waiting, help="Next in the queue")
            _button("To the end", "vertical_align_bottom", _last, waiting, help="Last in the queue")
        if idle := [entry for entry in entries if entry.resumable]:
            _button("Resume", "resume", _resume, idle, help="From the last checkpoint")
        if alone and one.spec is not None and clone_link is not None:
            with contextlib.suppress(VccAppError):  # of a model or with parameters that there are no longer
                page_link("train", "Clone into the form", data=one.spec.dataset, **clone_link(one.spec))
        if alone and one.run is not None:
            pinned = one.run.notes.pinned is not None
            _button(
                "Unpin" if pinned else "Pin as reference",
                "keep_off" if pinned else "keep",
                _unpin if pinned else _pin,
                [one],
                help="Scores and Compare offer the pinned run of a dataset first",
            )
        if there := [entry for entry in entries if entry.run is not None]:
            _popover("Name and note" if alone else "Tag", "edit_note", _show_notes if alone else _show_tags, there)
            if not any(entry.active for entry in there):
                _popover("Delete", "delete", _show_delete, there)


def show_undo() -> None:
    """What was just deleted, with the way back."""
    deleted = st.session_state.get(DELETED, [])
    if not deleted:
        return
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.info(plain(f"Deleted {', '.join(deleted)}."), icon=":material/delete:")
    right.button("Undo", key="runs_undo", icon=":material/undo:", on_click=_restore, args=(deleted,), width="stretch")


def show_bin() -> None:
    """What was deleted, its size, and how it comes back or goes for good; nothing where the bin is empty."""
    deleted = list_deleted(current_settings())
    if not deleted:
        return
    size = sum(one.size for one in deleted)
    box = st.expander(
        f"Deleted runs ({len(deleted):,}, {bytes_text(size)})",
        icon=":material/delete:",
        key="runs_bin",
        on_change="rerun",
    )
    if not box.open:
        return
    with box:
        for number, one in enumerate(deleted):
            left, right = st.columns([5, 1], vertical_alignment="center")
            told = f"{one.run} · deleted {one.when.astimezone():%d %b %H:%M} · {bytes_text(one.size)}"
            left.markdown(plain(told))
            right.button("Restore", key=f"runs_restore_{number}", on_click=_restore, args=([one.run],), width="stretch")
        with st.popover("Empty the bin", icon=":material/delete_forever:"):
            st.markdown(f"{len(deleted):,} runs go for good, and {bytes_text(size)} of the disk are free again.")
            st.button("Delete for good", key="runs_empty", type="primary", on_click=_empty)


def _popover(label: str, icon: str, draw: Callable[[Sequence[Entry]], None], entries: Sequence[Entry]) -> None:
    """What is drawn when it is opened."""
    box = st.popover(label, icon=f":material/{icon}:", key=f"runs{draw.__name__}", on_change="rerun")
    if box.open:
        with box:
            draw(entries)


def _button(
    label: str, icon: str, act: Callable[[Sequence[Entry]], None], entries: Sequence[Entry], *, help: str
) -> None:
    several = f" {len(entries)} runs" if len(entries) > 1 else ""
    key = f"runs_{act.__name__.strip('_')}"
    st.button(f"{label}{several}", key=key, icon=f":material/{icon}:", on_click=_do, args=(act, entries), help=help)


def _do(act: Callable[..., None], *args: object) -> None:
    """Act before the page is drawn; what is refused is said on it."""
    try:
        act(*args)
    except Exception as error:
        st.session_state[FAILED] = error


def _say_failure() -> None:
    error = st.session_state.pop(FAILED, None)
    if error is not None:
        with errors_shown():
            raise error


def _stop(entries: Sequence[Entry]) -> None:
    for entry in entries:
        stop_run(entry, current_settings())


def _force(entries: Sequence[Entry]) -> None:
    for entry in entries:
        stop_run(entry, current_settings(), force=True)


def _first(entries: Sequence[Entry]) -> None:
    for entry in entries:  # the one that was begun first is moved last, so that it stands before the others
        if entry.job is not None:
            move_in_queue(current_settings(), entry.job.id, first=True)


def _last(entries: Sequence[Entry]) -> None:
    for entry in reversed(entries):
        if entry.job is not None:
            move_in_queue(current_settings(), entry.job.id, first=False)


def _resume(entries: Sequence[Entry]) -> None:
    tasks = [plan_resume(entry, current_settings()) for entry in entries]
    for task in tasks:
        begin_job(task)


def _pin(entries: Sequence[Entry]) -> None:
    pin(entries[0].id, current_settings())


def _unpin(entries: Sequence[Entry]) -> None:
    if (spec := entries[0].spec) is not None:
        unpin(spec.dataset, current_settings())


def _show_notes(entries: Sequence[Entry]) -> None:
    """Title, note and tags of one run."""
    [entry] = entries
    if entry.run is None:
        return
    notes, id = entry.run.notes, entry.id
    st.text_input("Title", entry.run.title, key=f"runs_title_{id}", max_chars=200)
    st.text_area("Note", notes.note, key=f"runs_note_{id}", max_chars=4000, height=110)
    known = list(notes.tags)
    st.multiselect("Tags", known, known, key=f"runs_tags_{id}", accept_new_options=True, placeholder="Type a word")
    st.button("Save", key="runs_save", icon=":material/save:", on_click=_do, args=(_save, entry.run))


def _save(run: RunRecord) -> None:
    """What was typed; a title as it was started with is no other one."""
    settings, typed = current_settings(), st.session_state
    title = typed[f"runs_title_{run.id}"].strip()
    if title != run.title:
        rename(run.id, None if title == run.spec.title else title, settings)
    set_note(run.id, typed[f"runs_note_{run.id}"], settings)
    tags = typed[f"runs_tags_{run.id}"]
    set_tags(run.id, settings, add=tags, remove=[tag for tag in run.notes.tags if tag not in tags])


def _show_tags(entries: Sequence[Entry]) -> None:
    """Tags of several runs: those that any of them has can be taken away."""
    known = sorted({tag for entry in entries if entry.run is not None for tag in entry.run.notes.tags})
    st.multiselect("Add", known, key="runs_tag_add", accept_new_options=True, placeholder="Type a word")
    st.multiselect("Remove", known, key="runs_tag_remove")
    st.button(f"Change {len(entries)} runs", key="runs_tag_save", on_click=_do, args=(_tag, entries))


def _tag(entries: Sequence[Entry]) -> None:
    add, remove = st.session_state["runs_tag_add"], st.session_state["runs_tag_remove"]
    for entry in entries:
        set_tags(entry.id, current_settings(), add=add, remove=remove)


def _show_delete(entries: Sequence[Entry]) -> None:
    """What still uses them is told before; they come back until the bin is emptied."""
    ids = [entry.id for entry in entries]
    if uses := list_uses(ids, current_settings()):
        st.warning(plain_lines(uses), icon=":material/link:")
    st.caption("Deleted runs can be restored until the bin is emptied.")
    many = f"{len(ids)} runs" if len(ids) > 1 else "this run"
    st.button(f"Delete {many}", key="runs_delete", type="primary", on_click=_do, args=(_delete, ids))


def _delete(ids: list[str]) -> None:
    delete_runs(ids, current_settings())
    st.session_state[DELETED] = ids
    choose([])


def _restore(ids: list[str]) -> None:
    def act() -> None:
        for run_id in ids:
            restore_run(run_id, current_settings())
        st.session_state[DELETED] = []
        choose(ids)

    _do(act)


def _empty() -> None:
    def act() -> None:
        empty_bin(current_settings())
        st.session_state[DELETED] = []

    _do(act)
