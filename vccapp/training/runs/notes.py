"""What people say of a run: another title, a note, tags, and which run is the reference of its dataset.

    rename(run_id, "ridge, whole genome", settings); set_tags(run_id, settings, add=["paper"])
    pin(run_id, settings); find_pinned(list_runs(settings), dataset)

    checkpoints/<run id>/notes.json    one `record.Notes`; written atomically, by people alone
    checkpoints/.notes.lock            held while notes are read and written: of two who write at once, both are heard

The run itself stays as it was started: these words change no number.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

from vccapp.data.atomic import write_json
from vccapp.data.lock import hold_lock
from vccapp.errors import SpecError
from vccapp.settings import Settings
from vccapp.training.record import NOTES, NOTES_FILE, Notes, RunRecord, list_runs, load_run, read_notes

LOCK = ".notes.lock"


def rename(run_id: str, title: str | None, settings: Settings) -> Notes:
    """None gives back the title that it was started with. Raises SpecError for one that is too long."""
    with _held(settings):
        return _change(run_id, settings, title=None if title is None else " ".join(title.split()))


def set_note(run_id: str, note: str, settings: Settings) -> Notes:
    """Replace the note. Raises SpecError for one that is too long."""
    with _held(settings):
        return _change(run_id, settings, note=note.strip())


def set_tags(run_id: str, settings: Settings, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Notes:
    """Add and remove tags. Raises SpecError for what cannot be one."""
    with _held(settings):
        kept = [tag for tag in read_notes(load_run(run_id, settings).folder).tags if tag not in remove]
        return _change(run_id, settings, tags=tuple(dict.fromkeys([*kept, *add])))


def pin(run_id: str, settings: Settings, *, now: datetime | None = None) -> Notes:
    """Make it the reference of its dataset, which another one then is no longer."""
    with _held(settings):
        run, runs = load_run(run_id, settings), list_runs(settings)
        before = [one for one in runs if one.spec.dataset == run.spec.dataset and one.notes.pinned]
        now = now or datetime.now(UTC)
        for one in before:  # whatever the clock says, and though it were killed before the others are cleared
            now = max(now, one.notes.pinned + timedelta(microseconds=1)) if one.notes.pinned else now
        notes = _change(run_id, settings, pinned=now)
        for one in before:
            if one.id != run_id:
                _change(one.id, settings, pinned=None)
        return notes


def unpin(dataset: str, settings: Settings) -> None:
    """Its dataset has no reference of the user's any more. dataset : fingerprint"""
    with _held(settings):
        for run in list_runs(settings):
            if run.spec.dataset == dataset and run.notes.pinned:
                _change(run.id, settings, pinned=None)


def find_pinned(runs: Iterable[RunRecord], dataset: str) -> RunRecord | None:
    """The reference of a dataset among these runs; None where none was pinned."""
    pinned = [run for run in runs if run.spec.dataset == dataset and run.notes.pinned]
    return max(pinned, key=lambda run: run.notes.pinned or run.created, default=None)


def _held(settings: Settings) -> AbstractContextManager[object]:
    """One who changes notes of any run at a time; others wait, for what is a matter of milliseconds."""
    return hold_lock(settings.checkpoints / LOCK)


def _change(run_id: str, settings: Settings, **fields: object) -> Notes:
    """Raises SpecError for an unknown run and for what cannot be kept, DataError where the notes are damaged."""
    folder = load_run(run_id, settings).folder
    try:
        notes = Notes.model_validate({**dict(read_notes(folder)), **fields})
    except ValueError:
        raise SpecError(
            "bad_notes",
            "A title has at most 200 characters, a note 4,000, and a tag is one word of at most 40 without a comma, "
            "at most 20 of them",
            fix="shorten it",
        ) from None
    write_json(folder / NOTES_FILE, NOTES.stamp(notes.model_dump(mode="json")))
    return notes
