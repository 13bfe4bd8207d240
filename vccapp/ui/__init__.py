"""What the pages share. A page reads: `ui.open_page(__file__)`, widgets, a loader, a pure figure, `ui.show_chart`.

A name is imported from its module when it is first used, so a page that trains nothing never loads the models.
"""

import importlib
from typing import Any

_NAMES = {
    "compare_choice": ["choose_comparison", "has_runs"],
    "compare_genes": ["show_agreement", "show_genes", "show_heat_map"],
    "compare_findings": ["show_findings"],
    "compare_perturbations": ["show_confusion", "show_degs", "show_difference", "show_scores"],
    "commands": ["describe_words", "plan_words", "split_words"],
    "downloads": ["show_csv_button", "show_exports"],
    "embed": ["show_embed"],
    "entered": ["show_entered"],
    "files": ["ROUTES"],
    "forms": ["changed_values", "spec_form"],
    "frame": ["errors_told", "navigate", "open_page", "page_link", "tell_error"],
    "gene_choice": ["name_gene"],
    "grid": ["show_grid"],
    "imports": ["import_form"],
    "jobs": ["begin_job", "job_table", "show_jobs"],
    "loaders": [
        "current_settings",
        "load_cells",
        "load_depth",
        "load_gene",
        "load_guides",
        "load_jobs",
        "load_pairs",
        "load_similarity",
        "load_splits",
        "need_index",
    ],
    "official": ["show_official"],
    "opening": ["choose_columns", "open_file", "show_plan"],
    "perturbation": ["describe_perturbation", "show_perturbation_numbers"],
    "runs": ["choose_run", "load_runs", "run_label", "run_table", "score_names", "score_table"],
    "scores": ["choose_board", "scores_words", "show_leaderboard", "show_metric", "show_report_button"],
    "show": ["reproduce", "show_chart", "show_table"],
    "splits": ["keep_split", "standard_split"],
    "submissions": [
        "bytes_text",
        "load_submissions",
        "load_wanted",
        "optional_path",
        "plan_table",
        "show_submission",
    ],
    "tables": ["SPACES", "dataset_table", "show_schema", "show_summary", "split_table"],
    "training": ["choose_devices", "show_estimate", "show_training"],
    "warmup": ["lifespan"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
