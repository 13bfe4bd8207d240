"""Choosing a signature and its library on the page Targets."""

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from vccapp.data.workspace import Record
from vccapp.evaluation.targets.library import Library
from vccapp.evaluation.targets.ranking import Goal
from vccapp.evaluation.targets.signature import By, Signature, compare_groups, read_lists, read_table
from vccapp.stats.index import Index
from vccapp.training.record import RunRecord
from vccapp.training.targets import open_measured, open_predicted
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.forms import choose_one, named
from vccapp.ui.kit.loaders import cached, current_settings, load_datasets, load_index
from vccapp.ui.kit.runs import load_runs, run_label
from vccapp.wording import plain_lines

WAYS = {"table": "Table", "lists": "Up and down", "groups": "Groups of cells"}
GOALS: dict[Goal, str] = {"reverse": "Reverse", "mimic": "Mimic"}
GROUPS: dict[By, str] = {"perturbation": "Perturbations", "guide": "Guides", "batch": "Batches"}
FILE = "signature.csv"


@dataclass(frozen=True)
class Choice:
    """What the page shows. others : datasets whose effects are ranked too

    signature : None while none is given; words : the options of the commands that give it

    run : whose predicted effects are ranked too; predict : the genes that it is to predict, none: all that it can
    """

    record: Record
    index: Index
    others: tuple[Record, ...]
    signature: Signature | None
    words: tuple[str, ...]
    goal: Goal
    run: RunRecord | None
    predict: tuple[str, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """All datasets whose effects are ranked, that of the page first."""
        return (self.record, *self.others)

    def index_of(self, library: Library) -> Index:
        """The index of a library's dataset."""
        return next(load_index(own.index_folder) for own in self.records if own.fingerprint == library.dataset)

    def command(self, verb: str, *more: str, dataset: str | None = None) -> str:
        """`vccapp targets <verb>` of the signature, the libraries, or the one with this fingerprint, and the goal."""
        words = ["vccapp", "targets", verb, *more, *self.words]
        words += ["--cells-of", self.record.fingerprint] if "--first" in self.words else []
        for own in self.records:
            words += ["--dataset", own.fingerprint] if dataset in (None, own.fingerprint) else []
        words += ["--context", context] if (context := current_context()) else []
        return shlex.join([*words, *(["--goal", self.goal] if self.goal != "reverse" else [])])

    def run_words(self) -> list[str]:
        """The options of the commands that name the run."""
        if self.run is None:
            return []
        return ["--run", self.run.id, *(["--predict", ",".join(self.predict)] if self.predict else [])]

    @property
    def mark(self) -> str:
        """What tells this choice apart, for what is kept of it."""
        signature = self.signature
        told = "" if signature is None else repr((signature.values, signature.is_list, sorted(signature.made_of)))
        run = self.run.id if self.run else ""
        libraries = [(own.fingerprint, own.index_folder.stat().st_mtime) for own in self.records]
        return hashlib.sha256(repr((told, current_context(), libraries, run, self.predict)).encode()).hexdigest()

    def libraries(self) -> list[Library]:
        """Measured effects, then predicted ones."""
        mark = repr(sorted(self.signature.made_of)) if self.signature else ""
        found = load_measured(self.index, current_context(), mark, self.record, self.signature)
        for own in self.others:
            found = found + load_measured(load_index(own.index_folder), None, mark, own, self.signature)
        if self.run is not None:
            found = found + load_predicted(self.run, self.predict, current_context(), self.record)
        return found


@cached(max_entries=4, show_spinner="Reading the effects")
def load_measured(
    index: Index, context: str | None, mark: str, _record: Record, _signature: Signature | None
) -> list[Library]:
    """Measured effects without the cells of a signature. mark : of these cells"""
    return open_measured(_record, index, context=context, signature=_signature)


@cached(max_entries=4, show_spinner="Predicting effects")
def load_predicted(run: RunRecord, genes: tuple[str, ...], context: str | None, _record: Record) -> list[Library]:
    """Effects that a run predicts."""
    return open_predicted(run, current_settings(), title=_record.title, genes=genes, context=context)


def choose_targets(record: Record, index: Index) -> Choice:
    """Signature, goal and predictions. What is wrong with a signature is said, and ends the page."""
    row = st.container(horizontal=True)
    way = choose_one("Signature", WAYS, key="tgt_way", default="table", place=row)
    goal = choose_one("Goal", GOALS, key="tgt_goal", default="reverse", place=row)
    ways: dict[str, Callable[[], tuple[Signature | None, tuple[str, ...]]]]
    ways = {"table": _paste_table, "lists": _paste_lists, "groups": lambda: _choose_groups(record, index)}
    signature, words = ways[way]()
    if signature is not None and signature.notes:
        st.caption(plain_lines(signature.notes))
    others = _choose_others(record)
    run, predict = _choose_run(record)
    return Choice(record, index, others, signature, words, goal, run, predict)


def _paste_table() -> tuple[Signature | None, tuple[str, ...]]:
    left, right = st.columns([3, 2])
    text = left.text_area(
        "Genes and log2 fold changes",
        key="tgt_table",
        height=140,
        placeholder="One gene per line: MYC, -1.3",
        help="Two columns, or a DE table with a header. Full tables are better than lists of significant genes.",
    )
    given = right.file_uploader("Or a file", type=["csv", "tsv", "txt"], key="tgt_file", max_upload_size=20)
    if given is not None:
        text = given.getvalue().decode("utf-8", "replace")
    if not (text or "").strip():
        return None, ("--signature", FILE)
    right.download_button(
        "signature.csv",
        text,
        FILE,
        "text/csv",
        key="tgt_keep",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
        help="The file that the commands below read",
    )
    return read_table(text, name="signature"), ("--signature", FILE)


def _paste_lists() -> tuple[Signature | None, tuple[str, ...]]:
    texts = [
        place.text_area(label, key=f"tgt_{key}", height=110, placeholder="MYC, TP53, ...", bind="query-params")
        for place, label, key in zip(st.columns(2), ("Genes up", "Genes down"), ("up", "down"), strict=True)
    ]
    up, down = (" ".join((text or "").split()) for text in texts)
    words = [*(["--up", up] if up else []), *(["--down", down] if down else [])]
    return (read_lists(up, down) if words else None), tuple(words) or ("--up", "GENES")


def _choose_groups(record: Record, index: Index) -> tuple[Signature | None, tuple[str, ...]]:
    by = choose_one("Groups", GROUPS, key="tgt_by", default="perturbation")
    frame = {"perturbation": index.perturbations, "guide": index.guides, "batch": index.batches}[by]
    names = frame.iloc[:, 0].tolist()
    left, right = st.columns(2)
    sides = [
        place.multiselect(label, names, key=f"tgt_{key}_{by}", bind="query-params", wrap=True)
        for place, label, key in ((left, "Mean of", "first"), (right, "Minus mean of", "second"))
    ]
    if not all(sides):
        return None, ("--first", "A", "--second", "B", "--by", by)
    words = ("--first", ",".join(sides[0]), "--second", ",".join(sides[1]), "--by", by)
    return compare_groups(index, *sides, fingerprint=record.fingerprint, by=by), words


def _choose_others(record: Record) -> tuple[Record, ...]:
    """Other indexed datasets whose measured effects are ranked, too; none while the page shows one context."""
    others = {
        own.fingerprint: own for own in load_datasets() if own.has_index and own.fingerprint != record.fingerprint
    }
    if not others or current_context():
        return ()
    titles = {key: own.title for key, own in others.items()}
    chosen = st.multiselect(
        "Other libraries",
        list(others),
        key="tgt_others",
        format_func=named(titles),
        wrap=True,
        help="Measured effects of other datasets. Each is a library of its own, with its own mean effect.",
    )
    return tuple(others[key] for key in chosen)


def _choose_run(record: Record) -> tuple[RunRecord | None, tuple[str, ...]]:
    """A run whose predictions are ranked too, none at first, and the genes that it is to predict."""
    runs = {run.id: run for run in load_runs(record)}
    if not runs:
        return None, ()
    labels = {"": "None: measured effects alone", **{key: run_label(run) for key, run in runs.items()}}
    left, right = st.columns([3, 2])
    chosen = left.selectbox(
        "Predicted effects too",
        list(labels),
        key="tgt_run",
        bind="query-params",
        format_func=named(labels),
        help="Of genes that nobody silenced in these cells. They are marked as predicted and ranked among the others.",
    )
    if not chosen:
        return None, ()
    text = right.text_input(
        "Genes to predict",
        key="tgt_predict",
        bind="query-params",
        placeholder="All that the run knows",
        help="Separated by commas. A network needs them named, as each takes seconds.",
    )
    return runs[chosen], tuple(name for name in (text or "").replace(",", " ").split())
