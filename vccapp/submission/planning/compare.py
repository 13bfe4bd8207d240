"""What two plans, or more, have in common and where they differ: a table of their choices, and one of their cells."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from vccapp.submission.plan import Plan


def describe(plan: Plan) -> dict[str, Any]:
    """A plan's choices and figures by what people call them."""
    estimate = plan.estimate
    return {
        "season": plan.season,
        "phase": plan.phase or "none",
        "values": plan.space,
        "practice": " ".join(plan.reasons) if plan.practice else "no",
        "runs": ", ".join(plan.runs),
        "data": ", ".join(plan.datasets),
        "contexts": ", ".join(context for context in plan.sources if context) or "none",
        "genes": f"{plan.n_genes:,}" + (f" ({plan.genes.name})" if plan.genes else ""),
        "targets": f"{len(plan.cells):,}",
        "predicted cells": f"{sum(plan.cells.values()):,}",
        "controls in each context": f"{plan.n_controls:,}",
        "share of the wanted cells": f"{plan.alpha:.2%}",
        "seed": str(plan.seed),
        "stored values": f"{estimate.n_values:,}",
        "package (MB)": f"{estimate.vcc_bytes / 1e6:,.1f}",
    }


def compare_plans(plans: Sequence[Plan]) -> pd.DataFrame:
    """One row a choice, one column a plan; columns what, differs, then the ids."""
    described = [describe(plan) for plan in plans]
    rows = [
        {"what": what, "differs": len({one[what] for one in described}) > 1}
        | {plan.id: one[what] for plan, one in zip(plans, described, strict=True)}
        for what in described[0]
    ]
    return pd.DataFrame(rows).sort_values("differs", ascending=False, kind="stable", ignore_index=True)


def compare_cells(plans: Sequence[Plan]) -> pd.DataFrame:
    """Cells of the targets whose numbers differ: perturbation, then the ids; missing where a plan has none of it."""
    labels = dict.fromkeys(label for plan in plans for label in plan.cells)
    table = pd.DataFrame({plan.id: pd.Series(plan.cells, dtype="Int64") for plan in plans}).reindex(list(labels))
    differs = table.nunique(axis=1, dropna=False) > 1
    return table[differs].rename_axis("perturbation").reset_index()
