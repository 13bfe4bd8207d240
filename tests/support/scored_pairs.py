"""Pairs of files of cells to score, degenerate ones among them, and what the official scorers say of them.

X is float64 with values that float32 can hold: our reader keeps them whole, and the official scorers do not round means
to float32 on the way.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

CONTROL = "non-targeting"
KINDS = ("own", "own", "own", "none", "twin", "constant", "few", "silenced", "raised", "empty")
"""What a perturbation may be: with an effect of its own, with none, with the effect of the first, equal cells, two
cells, some genes in no cell, some genes in these cells only, cells without anything."""

sides = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "real": st.lists(st.sampled_from(KINDS), min_size=2, max_size=7),
        "predicted": st.lists(st.sampled_from(KINDS), min_size=7, max_size=7),
        "outside": st.integers(0, 3),  # perturbations whose gene is not measured
        "repeats": st.booleans(),  # cells that occur several times, which makes ties
        "alike": st.booleans(),  # the prediction has the real effects, or others
        "n_genes": st.sampled_from([12, 60]),
    }
)


def make_pair(choice: dict) -> tuple[ad.AnnData, ad.AnnData]:
    """Real and predicted counts with the same genes and labels; gene 0 is everywhere, so that no control is empty."""
    n_labels = len(choice["real"])
    rng = np.random.default_rng(choice["seed"])
    genes = [f"G{i}" for i in range(choice["n_genes"])]
    labels = [f"G{i}" if i >= choice["outside"] else f"X{i}" for i in range(1, n_labels)] + ["G5"]
    labels = list(dict.fromkeys(labels))
    rate = rng.gamma(1.0, 3.0, len(genes))
    effects = np.where(rng.random((2, n_labels, len(genes))) < 0.4, rng.uniform(0.05, 4, (2, n_labels, len(genes))), 1)
    if choice["alike"]:
        effects[1] = effects[0] * rng.uniform(0.8, 1.2, effects[0].shape)
    return tuple(
        _make_side(kinds, labels, genes, rate=rate, effects=effect, repeats=choice["repeats"], rng=rng)
        for kinds, effect in zip((choice["real"], choice["predicted"]), effects, strict=True)
    )


def _make_side(
    kinds: list[str],
    labels: list[str],
    genes: list[str],
    *,
    rate: np.ndarray,
    effects: np.ndarray,
    repeats: bool,
    rng: np.random.Generator,
) -> ad.AnnData:
    def draw(n: int, mean: np.ndarray) -> np.ndarray:
        x = rng.poisson(mean * rng.lognormal(0, 0.3, (n, 1)))
        return x[rng.integers(0, n // 2, n)] if repeats else x

    n_silent = len(genes) // 4
    blocks, names = [draw(int(rng.integers(20, 40)), rate)], []
    blocks[0][:, -n_silent:-1] = 0  # in no control
    names += [CONTROL] * len(blocks[0])
    for number, label in enumerate(labels):
        kind = kinds[number]
        n = 2 if kind == "few" else int(rng.integers(8, 16))
        effect = {"none": np.ones(len(genes)), "twin": effects[0]}.get(kind, effects[number])
        x = draw(n, rate * effect)
        x[:, -n_silent:-1] = rng.poisson(4, (n, n_silent - 1)) if kind == "raised" else 0
        if kind == "constant":
            x[:] = x[0]
        if kind == "silenced":
            x[:, 1 : n_silent + 1] = 0
        if kind == "empty":
            x[:] = 0
        blocks.append(x)
        names += [label] * n
    x = np.concatenate(blocks).astype(np.float64)
    x[: len(blocks[0]), 0] += 1
    order = rng.permutation(len(x))
    return make_cells(x[order], np.array(names)[order], genes)


def make_cells(x: np.ndarray, names: np.ndarray, genes: list[str]) -> ad.AnnData:
    obs = pd.DataFrame({"target_gene": np.asarray(names, str)}, index=[f"c{i}" for i in range(len(names))])
    return ad.AnnData(csr_matrix(x, dtype=np.float64), obs=obs, var=pd.DataFrame(index=list(genes)))


def as_logs(cells: ad.AnnData, *, per: str = "cell") -> ad.AnnData:
    """log1p of counts, rounded to float32 and kept in float64; per "cell" scaled to the median total, per "level" raw
    and at most 3, so that most values are ties.
    """
    import scanpy as sc

    logs = cells.copy()
    if per == "cell":
        sc.pp.normalize_total(logs)
    else:
        logs.X.data = np.minimum(logs.X.data, 3)
    logs.X.data = np.log1p(logs.X.data).astype(np.float32).astype(np.float64)
    return logs


def halve(cells: ad.AnnData, *, most: int, seed: int = 0) -> tuple[ad.AnnData, ad.AnnData]:
    """Two disjoint draws of at most `most` cells of each perturbation, X in float64."""
    rng = np.random.default_rng(seed)
    rows: tuple[list, list] = ([], [])
    for label in sorted(set(cells.obs["target_gene"])):
        found = rng.permutation(np.flatnonzero(cells.obs["target_gene"] == label))
        rows[0].extend(found[: min(most, len(found) // 2)])
        rows[1].extend(found[-min(most, len(found) // 2) :])
    return tuple(
        make_cells(
            cells.X[sorted(part)].toarray(), cells.obs["target_gene"].to_numpy(str)[sorted(part)], cells.var_names
        )
        for part in rows
    )


def official_2025(real: ad.AnnData, predicted: ad.AnnData, folder: Path) -> pd.DataFrame:
    """des, pds, mae of `cell-eval run --profile vcc`, by perturbation."""
    from cell_eval import MetricsEvaluator

    with _quiet():
        evaluator = MetricsEvaluator(
            adata_pred=predicted.copy(),
            adata_real=real.copy(),
            control_pert=CONTROL,
            pert_col="target_gene",
            num_threads=2,
            outdir=str(folder),
        )
        results, _ = evaluator.compute(profile="vcc", break_on_error=True, write_csv=False)
    names = {"overlap_at_N": "des", "discrimination_score_l1": "pds", "mae": "mae"}
    return results.to_pandas().set_index("perturbation").sort_index().rename(columns=names)


def official_2026(real: ad.AnnData, predicted: ad.AnnData) -> pd.DataFrame:
    """The metrics of `cell-eval2 run --preset vcc2026`, by perturbation; NaN where it gives none."""
    from cell_eval2 import EvalConfig, compute_metrics

    with _quiet():
        config = EvalConfig.from_preset("vcc2026")
        table = compute_metrics(predicted, real, config=config, pert_col="target_gene").to_pandas()
    return table.pivot(index="perturbation", columns="metric", values="value").sort_index()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Their progress bars and warnings are no part of what is tested."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)
