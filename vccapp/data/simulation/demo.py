"""The built-in demo: simulated cells with real gene symbols, made on first use, and beside it a small real sample.

Creating the demo takes seconds. It is registered as simulated, so every page that shows it says so.
Provenance and licences of both: assets/README.md.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.atomic import write_folder
from vccapp.data.places import ASSETS
from vccapp.data.schema import CONTROL
from vccapp.data.simulation.experiment import SimulationSpec, share_out
from vccapp.data.simulation.simulate import simulate
from vccapp.errors import DataError
from vccapp.progress import Progress, part, silent
from vccapp.settings import Settings

TITLE = "Demo (simulated)"
N_CELLS, N_CONTROLS, SEED = 3600, 800, 1


def demo_path(settings: Settings) -> Path:
    """Where the demo's cells lie once written."""
    return settings.demo / "demo.h5ad"


def sample_path() -> Path:
    """The real sample: 600 H1 cells x 1,000 genes of the 2025 challenge, raw counts. Raises DataError when absent."""
    return _asset("h1_sample.h5ad")


def demo_spec() -> tuple[SimulationSpec, list[str]]:
    """The demo's spec and its gene symbols. Perturbations differ fourfold in cells."""
    table = pd.read_csv(_asset("demo_genes.csv"), keep_default_na=False)
    targets = table.loc[table["perturbed"] == "yes", "gene"]
    weights = np.random.default_rng(SEED).permutation(np.geomspace(1, 4, len(targets)))
    cells = share_out(N_CELLS - N_CONTROLS, weights).tolist()
    perturbations = {CONTROL: N_CONTROLS} | dict(zip(targets, cells, strict=True))
    return SimulationSpec(seed=SEED, perturbations=perturbations), table["gene"].tolist()


def write_demo(settings: Settings, *, progress: Progress = silent) -> Path:
    """Simulate the demo into the workspace, replacing an earlier one, and register it; returns the .h5ad."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.workspace import register

    spec, genes = demo_spec()
    path = demo_path(settings)
    with write_folder(settings.demo) as folder:
        simulate(spec, folder / path.name, genes=genes, progress=part(progress, 0.0, 0.95))
    register(open_dataset(path), settings, simulated=True, title=TITLE)
    progress(1.0, f"{TITLE} is ready")
    return path


def _asset(name: str) -> Path:
    path = ASSETS / name
    if not path.is_file():
        raise DataError(
            "asset_missing",
            f"{path} is missing from this installation",
            fix="install vccapp again",
        )
    return path
