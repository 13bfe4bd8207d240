"""`vccapp eval diagnose`: what is wrong with predictions, and what to do."""

from typing import TYPE_CHECKING, Annotated

import typer

from vccapp.cli.eval.options import (
    Context,
    Csv,
    Part,
    RunIds,
    Shown,
    Table,
    about_comparison,
    find_shown,
    open_runs,
    show_view,
)
from vccapp.cli.names import find_finished_run, ignored_context, mark_about, open_settings
from vccapp.cli.output import Json, format_lines, format_table
from vccapp.errors import SpecError

if TYPE_CHECKING:
    from vccapp.evaluation.comparison.diagnostics import Diagnostics


def diagnose(
    run: RunIds = None,
    part: Part = "test",
    context: Context = None,
    pseudobulks: Annotated[
        bool, typer.Option("--pseudobulks", help="Use pseudobulks only, for several runs and the baselines.")
    ] = False,
    shown: Shown = None,
    csv: Csv = None,
    table: Table = None,
    as_json: Json = False,
) -> None:
    """Look for faults that no score names: collapse, amplitude, scale, lost variance, wrong controls."""
    from vccapp.evaluation.comparison.diagnostics import tabulate_diagnostics, view_diagnostics
    from vccapp.training.diagnose import diagnose_run

    if pseudobulks:
        comparison = open_runs(run, part, context)
        own = find_shown(comparison, shown)
        view, about = view_diagnostics(comparison, own), about_comparison(comparison, shown=own.key)
    else:
        if len(run or []) > 1 or shown is not None:
            raise SpecError(
                "one_run", "Cells can be generated for one run only", fix="name one run, or add --pseudobulks"
            )
        settings = open_settings()
        record = find_finished_run(run[0] if run else "latest", settings)
        view = tabulate_diagnostics({record.id: diagnose_run(record.id, part, settings, context=context)}, record.id)
        about = {"run": record.id, "part": part} | mark_about(ignored_context(record.spec.dataset, settings))
    show_view(view, about, as_json=as_json, csv=csv, table=table, text=lambda: _format(view))


def _format(view: "Diagnostics") -> str:
    lines = []
    for found in view.findings.itertuples():
        lines.append(f"{found.status.upper():8} {found.label}: {found.message}")
        lines += [f"         {found.advice}"] if found.advice else []
    text = format_lines(lines)
    if len(view.by_source) > 1:
        text += "\n\n" + format_table(view.by_source.to_dict("records"), list(view.by_source.columns))
    return text
