"""Two submissions beside each other: what differs in their making, in cells, in local and in official scores.

view = compare_submissions(a, b, settings)
view.making, view.cells, view.local, view.official       # frames; of one number a pair, `difference` is b - a
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vccapp.errors import VccAppError
from vccapp.settings import Settings
from vccapp.submission.ledger.listing import Submission
from vccapp.submission.ledger.local import compare_local
from vccapp.submission.ledger.ranking import COMPARABLE, tabulate_scores
from vccapp.submission.making.made import Origin
from vccapp.submission.plan import Plan, Source
from vccapp.training.record import RunSpec, load_run

MAKING = ["what", "a", "b", "differs"]
CELLS = ["perturbation", "cells_a", "cells_b", "depth_a", "depth_b"]
OFFICIAL = [*COMPARABLE, "metric", "a", "b", "difference"]
ELSEWHERE = {"id", "sources", "cells", "wanted", "depths", "notes", "reasons", "values_per_cell"}
"""Fields of a plan that other tables show, or that follow from the rest."""
LABELS = {
    "space": "values",
    "genes": "gene list",
    "order": "order of the genes",
    "n_genes": "genes",
    "n_controls": "controls in each context",
    "counts": "how counts are made",
}
DIGITS = 12
"""Of a digest."""


@dataclass(frozen=True)
class Comparison:
    """Frames of MAKING, CELLS (labels whose number or depth differs), `local.LOCAL` and OFFICIAL."""

    a: Submission
    b: Submission
    making: pd.DataFrame
    cells: pd.DataFrame
    local: pd.DataFrame
    official: pd.DataFrame


def compare_submissions(a: Submission, b: Submission, settings: Settings) -> Comparison:
    """Of what was sent last of each, else of what was built or planned."""
    return Comparison(
        a,
        b,
        _compare_making(a, b, settings),
        _compare_cells(a, b),
        compare_local(a, b, settings),
        _compare_official(a, b),
    )


def describe_making(one: Submission, settings: Settings) -> dict[str, str]:
    """All that made a submission, by what it is called; empty texts where that is not known."""
    plan, report = one.plan, one.report
    if plan is None:
        return {}
    told = {LABELS.get(name, name.replace("_", " ")): _text(value) for name, value in plan if name not in ELSEWHERE}
    told |= {
        "targets": f"{len(plan.cells):,}",
        "predicted cells": f"{sum(plan.cells.values()):,}",
        "share of the wanted cells": f"{plan.alpha:.2%}",
    }
    made = None if report is None else report.made
    for context, source in plan.sources.items():
        where = f" of {context}" if context else ""
        origin = None if made is None else made.sources.get(context)
        told |= {f"{what}{where}": text for what, text in _describe_source(source, origin, settings)}
    if report is not None:
        told["built"] = report.built
        told |= {} if made is None else {"genes digest": made.genes[:DIGITS], "season digest": made.rules[:DIGITS]}
        told |= {f"version of {name}": text for name, text in report.versions.items()}
        told |= {} if made is None else {"version of Python": made.python, "platform": made.platform}
    if one.package is not None:
        told |= {
            "size of the package": f"{one.package.size:,}",
            "sha256 of the cells": one.package.h5ad_sha256[:DIGITS],
            "sha256 of the package": one.package.sha256[:DIGITS],
        }
    return told


def _describe_source(source: Source, origin: Origin | None, settings: Settings) -> Iterator[tuple[str, str]]:
    """Data and run of a context: as they were when the cells were made, else as they are."""
    yield "data", f"{origin.title} ({source.dataset})" if origin and origin.title else source.dataset
    yield "context of the data", source.context or ""
    yield "index digest", "" if origin is None else origin.index[:DIGITS]
    yield "run", source.run
    yield "model digest", "" if origin is None else origin.model[:DIGITS]
    spec, split = (origin.spec, origin.split) if origin is not None else (None, "")
    if spec is None:
        try:
            run = load_run(source.run, settings)
        except VccAppError:
            return
        spec, split = run.spec, run.split.name
    yield from _describe_spec(spec)
    yield "split", split


def _describe_spec(spec: RunSpec) -> Iterator[tuple[str, str]]:
    yield "model", spec.model
    yield "seed of the run", str(spec.seed)
    for name, value in sorted(spec.params.items()):
        yield f"model's {name}", _text(value)


def _compare_making(a: Submission, b: Submission, settings: Settings) -> pd.DataFrame:
    """In the order in which they are described, those that differ first."""
    left, right = describe_making(a, settings), describe_making(b, settings)
    names = list(dict.fromkeys([*left, *right]))
    rows = [(name, left.get(name, ""), right.get(name, ""), left.get(name) != right.get(name)) for name in names]
    table = pd.DataFrame(rows, columns=MAKING)
    return table.sort_values("differs", ascending=False, kind="stable", ignore_index=True)


def _compare_cells(a: Submission, b: Submission) -> pd.DataFrame:
    def of(plan: Plan | None) -> tuple[Mapping[str, int], Mapping[str, float]]:
        if plan is None:
            return {}, {}
        return plan.cells_in_order, dict.fromkeys(plan.cells, plan.depth) | plan.depths  # type: ignore[return-value]

    (cells_a, depths_a), (cells_b, depths_b) = of(a.plan), of(b.plan)
    rows = [
        (label, cells_a.get(label), cells_b.get(label), depths_a.get(label), depths_b.get(label))
        for label in dict.fromkeys([*cells_a, *cells_b])
    ]
    kinds = {"cells_a": "Int64", "cells_b": "Int64", "depth_a": float, "depth_b": float}
    table = pd.DataFrame(rows, columns=CELLS).astype(kinds)
    left, right = (table[[f"cells_{side}", f"depth_{side}"]].astype(float).fillna(-1.0) for side in ("a", "b"))
    return table[(left.to_numpy() != right.to_numpy()).any(axis=1)].reset_index(drop=True)


def _compare_official(a: Submission, b: Submission) -> pd.DataFrame:
    """Scores of both where they are comparable; of one of them where the other has none there."""
    keys = [*COMPARABLE, "metric"]
    left, right = (tabulate_scores([one])[[*keys, "value"]] for one in (a, b))
    table = left.merge(right, on=keys, how="outer", suffixes=("_a", "_b"), sort=False)
    table = table.rename(columns={"value_a": "a", "value_b": "b"}).assign(difference=lambda t: t["b"] - t["a"])
    return table[OFFICIAL]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
