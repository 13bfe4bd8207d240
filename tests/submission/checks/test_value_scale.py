"""A file that is all on another scale fails by its own control cells; cells that tell no scale fail nothing."""

from pathlib import Path

import numpy as np
import pytest
from mutations import CELLS, CONTROL, GENES, make_cells, values_changed, write_submission
from places import SHARED
from scipy.sparse import csr_matrix
from toy import make_counts
from toy_seasons import toy_season

from vccapp.data.h5ad import CsrWriter
from vccapp.submission.check import CheckResult, run_checks
from vccapp.submission.mending.mend import mend

WANTED = {label: n for label, n in CELLS.items() if label != CONTROL}
SEASON = toy_season("vcc2025", n_genes=len(GENES), targets=WANTED)
OTHER = {
    "log2(1 + x)": lambda x: x / np.log(2),
    "log10(1 + x)": lambda x: x / np.log(10),
    "log1p applied twice": np.log1p,
    "values without a logarithm": np.expm1,
}


def check(path: Path, **expected: object) -> CheckResult:
    [found] = [result for result in run_checks(path, SEASON, **expected) if result.name == "value_scale"]
    return found


@pytest.mark.parametrize("name", OTHER)
def test_another_scale_fails_with_nothing_known_from_outside_and_is_mended(name: str, tmp_path: Path) -> None:
    path, out = tmp_path / "x.h5ad", tmp_path / "out.h5ad"
    write_submission(path)
    values_changed(OTHER[name])(path)
    found = check(path, genes=GENES)
    assert (found.status, found.mend) == ("failed", "natural_log") and name in found.message and found.stricter
    done = mend(path, out, SEASON, genes=GENES)
    assert [step.name for step in done.steps] == ["natural_log"] and done.passes
    with_logs = np.concatenate(list(make_cells().values()))
    [(_, values)] = list(_read(out))
    np.testing.assert_allclose(values, with_logs, rtol=1e-5, atol=1e-5)


def _read(path: Path):
    from vccapp.submission.h5ad import open_cells

    yield from ((start, block.toarray()) for start, block in open_cells(path, "target_gene").blocks())


def test_genes_left_out_since_leave_multiples_of_one_count(tmp_path: Path) -> None:
    """Sums of cells then differ on every scale."""
    for name, change in OTHER.items():
        path = tmp_path / f"{name.replace('/', ' ')}.h5ad"
        whole = {label: values[:, ::2] for label, values in make_cells().items()}
        with CsrWriter(path, genes=GENES[::2], pert_col="target_gene") as writer:
            for label, values in whole.items():
                writer.append(csr_matrix(change(values).astype(np.float32)), label)
        assert check(path, practice=True).status == "failed"


def test_without_control_cells_all_cells_tell(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    with CsrWriter(path, genes=GENES, pert_col="target_gene") as writer:
        for label, values in make_cells().items():
            name = "NT" if label == CONTROL else label
            writer.append(csr_matrix((values / np.log(2)).astype(np.float32)), name)
    assert check(path).status == "failed"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("depth", [None, 3.0])
def test_predicted_controls_fail_nothing(seed: int, depth: float | None, tmp_path: Path) -> None:
    """Smooth cells, noisy ones, of even and of uneven depth: whatever they look like, they are natural logarithms."""
    rng = np.random.default_rng(seed)
    path, mean = tmp_path / "x.h5ad", rng.gamma(1, 0.6, len(GENES))
    with CsrWriter(path, genes=GENES, pert_col="target_gene") as writer:
        for label, n in CELLS.items():
            noise = rng.normal(0, [1e-6, 0.01, 0.2][seed % 3], (n, len(GENES)))
            values = np.maximum(mean + noise, 0) * (rng.random((n, len(GENES))) < [1, 0.6][seed % 2])
            if depth is not None:
                values = np.log1p(np.expm1(values) * rng.lognormal(0, 0.4, (n, 1)))
            writer.append(csr_matrix(values.astype(np.float32)), label)
    assert check(path).status != "failed"


@pytest.mark.parametrize("depth", [60, 500, 20_000])
def test_real_counts_on_the_natural_scale_are_well(depth: int, tmp_path: Path) -> None:
    counts = make_counts(n_cells=300, n_genes=60, seed=3).X.toarray().astype(np.float64)
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * depth)
    path = tmp_path / "x.h5ad"
    with CsrWriter(path, genes=[f"G{i}" for i in range(60)], pert_col="target_gene") as writer:
        writer.append(csr_matrix(values[:200].astype(np.float32)), CONTROL)
        writer.append(csr_matrix(values[200:].astype(np.float32)), "G1")
    assert check(path, practice=True).status == "ok"


def test_counts_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_submission(path)
    values_changed(lambda x: np.rint(np.expm1(x)))(path)
    assert check(path).status == "skipped"


@pytest.mark.shared
@pytest.mark.slow
def test_real_cells_are_natural_logarithms(shared: Path, tmp_path: Path) -> None:
    """Control cells of every real set of counts, as a submission would have them, and changed."""
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.schema import is_control
    from vccapp.errors import VccAppError

    seen = 0
    for file in sorted(SHARED.rglob("*.h5ad")):
        try:
            dataset = open_dataset(file)
            dataset.require_usable()
        except VccAppError:
            continue
        if dataset.schema.value_space != "counts":
            continue
        labels = dataset.cells["perturbation"].astype(str).to_numpy()
        rows = np.flatnonzero([is_control(label) for label in labels])[:300]
        counts = dataset.read_rows(rows).astype(np.float64)
        totals = np.asarray(counts.sum(axis=1)).ravel()
        counts.data = np.log1p(counts.data * np.repeat(np.median(totals) / totals, np.diff(counts.indptr)))
        for factor, status in ((1.0, "ok"), (1 / np.log(2), "failed"), (1 / np.log(10), "failed")):
            path = tmp_path / "x.h5ad"
            with CsrWriter(path, genes=dataset.genes.tolist(), pert_col="target_gene") as writer:
                writer.append((counts * factor).astype(np.float32).tocsr(), CONTROL)
            assert check(path, practice=True).status == status, (file, factor)
        seen += 1
    assert seen
