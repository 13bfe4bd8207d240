"""The names that pages use, for editors and type checkers; `__init__.py` imports each when it is first used."""

from .comparison.calibrate import (
    show_calibrate as show_calibrate,
)
from .comparison.choice import (
    choose_comparison as choose_comparison,
    has_runs as has_runs,
)
from .comparison.findings import (
    show_findings as show_findings,
)
from .comparison.genes import (
    show_agreement as show_agreement,
    show_genes as show_genes,
    show_heat_map as show_heat_map,
)
from .comparison.perturbations import (
    show_confusion as show_confusion,
    show_degs as show_degs,
    show_difference as show_difference,
    show_scores as show_scores,
)
from .genes import (
    choose_gene_groups as choose_gene_groups,
    gene_quadrants as gene_quadrants,
    gene_table as gene_table,
    name_gene as name_gene,
)
from .glossary import (
    show_glossary as show_glossary,
)
from .server.door import (
    MIDDLEWARE as MIDDLEWARE,
)
from .kit.downloads import (
    show_csv_button as show_csv_button,
    show_exports as show_exports,
)
from .server.routes import (
    ROUTES as ROUTES,
)
from .kit.forms import (
    choose_one as choose_one,
)
from .kit.frame import (
    navigate as navigate,
    open_page as open_page,
    page_link as page_link,
    show_error as show_error,
)
from .kit.jobs import (
    job_table as job_table,
    show_jobs as show_jobs,
    show_queue as show_queue,
)
from .kit.loaders import (
    load_cells as load_cells,
    load_datasets as load_datasets,
    load_depth as load_depth,
    load_guides as load_guides,
    load_jobs as load_jobs,
    load_pairs as load_pairs,
    load_similarity as load_similarity,
    load_splits as load_splits,
)
from .kit.show import (
    plain as plain,
    reproduce as reproduce,
    show_chart as show_chart,
    show_table as show_table,
    show_unreadable as show_unreadable,
)
from .kit.start import (
    need_context as need_context,
    need_dataset as need_dataset,
    need_index as need_index,
)
from .kit.tables import (
    SPACES as SPACES,
    dataset_table as dataset_table,
    show_schema as show_schema,
    show_summary as show_summary,
    split_table as split_table,
)
from .ledger.comparison import (
    show_pair as show_pair,
)
from .ledger.one import (
    show_one as show_one,
)
from .ledger.ranking import (
    read_ledger as read_ledger,
    show_ranking as show_ranking,
)
from .opening import (
    choose_path as choose_path,
    data_commands as data_commands,
    show_file as show_file,
)
from .perturbation import (
    FDR as FDR,
    FDRS as FDRS,
    describe_perturbation as describe_perturbation,
    perturbation_table as perturbation_table,
    show_deg_export as show_deg_export,
    show_perturbation_numbers as show_perturbation_numbers,
)
from .runs.newest import (
    show_newest as show_newest,
)
from .runs.page import (
    runs_commands as runs_commands,
    show_runs_page as show_runs_page,
)
from .scores.board import (
    choose_board as choose_board,
    scores_commands as scores_commands,
    show_leaderboard as show_leaderboard,
    show_metric as show_metric,
    show_report_button as show_report_button,
)
from .scores.entered import (
    show_entered as show_entered,
)
from .scores.imports import (
    import_form as import_form,
)
from .scores.official import (
    show_official as show_official,
)
from .settings import (
    show_settings as show_settings,
)
from .splits import (
    show_split_check as show_split_check,
    show_toml_button as show_toml_button,
    split_commands as split_commands,
    split_form as split_form,
)
from .submission.files import (
    show_file_checks as show_file_checks,
)
from .submission.listing import (
    show_submissions as show_submissions,
)
from .submission.page import (
    show_plan_step as show_plan_step,
)
from .submission.season import (
    choose_season as choose_season,
    show_season_opening as show_season_opening,
)
from .submission.steps import (
    show_steps as show_steps,
)
from .sweeps.form import (
    choose_sweep as choose_sweep,
)
from .sweeps.show import (
    load_sweeps as load_sweeps,
    show_sweep as show_sweep,
    show_unrecorded as show_unrecorded,
)
from .targets.choice import (
    choose_targets as choose_targets,
)
from .targets.views import (
    show_gene_by_gene as show_gene_by_gene,
    show_next as show_next,
    show_ranking_of_targets as show_ranking_of_targets,
    show_validation as show_validation,
)
from .training.choice import (
    choose_training as choose_training,
    training_query as training_query,
)
from .training.embed import (
    show_embed as show_embed,
)
from .warmup import (
    lifespan as lifespan,
)
