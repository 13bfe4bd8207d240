"""One context of a dataset reads as a file of its cells alone."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.dataset import Dataset
from vccapp.data.reading.opening import open_dataset
from vccapp.data.reading.within import within
from vccapp.errors import SpecError
from vccapp.evaluation.scoring.score_files import score_files


def write(data: ad.AnnData, path: Path) -> Dataset:
    data.write_h5ad(path)
    return open_dataset(path)


def lines(seed: int) -> ad.AnnData:
    data = make_counts(240, 40, seed=seed)
    data.obs["cell_line"] = np.where(np.arange(240) % 3 == 0, "RPE1", "K562")
    return data


@pytest.mark.parametrize("max_values", [1, 500, 10**6])
def test_as_a_file_of_its_own(max_values: int, tmp_path: Path) -> None:
    data = lines(0)
    own = within(write(data, tmp_path / "a.h5ad"), "RPE1")
    alone = write(data[data.obs["cell_line"] == "RPE1"].copy(), tmp_path / "b.h5ad")
    assert own.cells["perturbation"].tolist() == alone.cells["perturbation"].tolist()
    assert own.cells["guide"].tolist() == alone.cells["guide"].tolist()
    for first, last in ((0, None), (7, 31), (80, 80)):
        found = list(own.iter_rows(max_values=max_values, first=first, last=last))
        wanted = list(alone.iter_rows(max_values=10**6, first=first, last=last))
        assert [start for start, _ in found] == np.cumsum([first, *(b.shape[0] for _, b in found)])[:-1].tolist()
        if wanted:
            np.testing.assert_array_equal(np.vstack([b.toarray() for _, b in found]), wanted[0][1].toarray())
        else:
            assert not found
    np.testing.assert_array_equal(own.read_rows([3, 1, 3]).toarray(), alone.read_rows([3, 1, 3]).toarray())
    assert within(own, None) is own
    with refusal(SpecError, "unknown_context"):
        within(own, "K562")


@pytest.mark.slow
@pytest.mark.parametrize("season", ["2025", "2026"])
def test_files_of_contexts_are_scored_context_by_context(season: str, tmp_path: Path) -> None:
    real, predicted = lines(0), lines(0)
    predicted.X = predicted.X[np.random.default_rng(0).permutation(240)]
    for line, factor in (("K562", 3),):
        rows = real.obs["cell_line"] == line
        real.X[rows.to_numpy()] *= factor
    whole = score_files(write(real, tmp_path / "r.h5ad"), write(predicted, tmp_path / "p.h5ad"), season=season)
    for line in ("K562", "RPE1"):
        files = [data[data.obs["cell_line"] == line].copy() for data in (real, predicted)]
        alone = score_files(*(write(x, tmp_path / f"{line}{i}.h5ad") for i, x in enumerate(files)), season=season)
        own = whole[whole["perturbation"].str.endswith(f"@{line}")].reset_index(drop=True)
        assert own["perturbation"].str.removesuffix(f"@{line}").tolist() == alone["perturbation"].tolist()
        np.testing.assert_allclose(own.iloc[:, 1:].to_numpy(float), alone.iloc[:, 1:].to_numpy(float), rtol=1e-12)
