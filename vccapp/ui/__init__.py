"""What the pages share. A page reads: `ui.open_page(__file__)`, widgets, a loader, a pure figure, `ui.show_chart`.

A name is imported from its module when it is first used, so a page that trains nothing never loads the models.
"""

import importlib
from typing import Any

_NAMES = {
    "comparison.choice": ["choose_comparison", "has_runs"],
    "comparison.genes": ["show_agreement", "show_genes", "show_heat_map"],
    "comparison.findings": ["show_findings"],
    "comparison.perturbations": ["show_confusion", "show_degs", "show_difference", "show_scores"],
    "glossary": ["show_glossary"],
    "kit.downloads": ["show_csv_button", "show_exports"],
    "training.embed": ["show_embed"],
    "scores.entered": ["show_entered"],
    "kit.files": ["ROUTES"],
    "kit.forms": ["changed_values", "spec_form"],
    "kit.frame": ["errors_told", "navigate", "open_page", "page_link", "tell_error"],
    "comparison.gene_choice": ["name_gene"],
    "training.grid": ["show_grid"],
    "scores.imports": ["import_form"],
    "kit.jobs": ["begin_job", "job_table", "show_jobs"],
    "kit.loaders": [
        "current_settings",
        "load_cells",
        "load_depth",
        "load_gene",
        "load_guides",
        "load_jobs",
        "load_pairs",
        "load_similarity",
        "load_splits",
    ],
    "scores.official": ["show_official"],
    "opening": ["choose_columns", "open_file", "show_plan"],
    "perturbation": ["describe_perturbation", "show_perturbation_numbers"],
    "kit.runs": ["choose_run", "load_runs", "run_label", "run_table", "score_table"],
    "scores.board": ["choose_board", "scores_commands", "show_leaderboard", "show_metric", "show_report_button"],
    "kit.show": ["reproduce", "show_chart", "show_table", "show_unreadable"],
    "kit.splits": ["keep_split", "standard_split"],
    "submissions": [
        "bytes_text",
        "load_submissions",
        "load_wanted",
        "optional_path",
        "plan_table",
        "show_submission",
    ],
    "kit.tables": ["SPACES", "dataset_table", "show_schema", "show_summary", "split_table"],
    "training.training": ["choose_devices", "show_estimate", "show_training"],
    "kit.start": ["need_index"],
    "warmup": ["lifespan"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
