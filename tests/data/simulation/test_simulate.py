"""The simulation: exact cells as asked, counts as negative binomial theory says, known truth, bounded memory."""

import dataclasses
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal
from scipy.sparse import csr_matrix
from scipy.stats import nbinom

from vccapp.data.schema import CONTROL
from vccapp.data.simulation import simulate as module
from vccapp.data.simulation.experiment import Simulation, SimulationSpec, draw_simulation, share_out
from vccapp.data.simulation.simulate import sample_blocks, simulate
from vccapp.errors import ResourceError, SpecError, Stopped

SMALL = SimulationSpec(n_cells=240, n_genes=90, n_perturbations=6, n_batches=2, median_umis=600, seed=4)


def counts_of(truth: Simulation) -> csr_matrix:
    ends, indices, values = zip(*(block[1:] for block in sample_blocks(truth)), strict=True)
    lengths = np.concatenate([np.diff(end, prepend=0) for end in ends])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    shape = (truth.n_cells, truth.n_genes)
    return csr_matrix((np.concatenate(values), np.concatenate(indices), indptr), shape=shape)


def digest(path: Path) -> str:
    cells = ad.read_h5ad(path)
    parts = [cells.X.data, cells.X.indices, cells.X.indptr, cells.obs.to_csv().encode(), cells.var.to_csv().encode()]
    return hashlib.sha256(b"".join(bytes(part) for part in parts)).hexdigest()


def constant_truth(rates: list[float], dispersion: list[float], n_cells: int) -> Simulation:
    """Cells that all have the same rates: every draw of a gene comes from one distribution."""
    spec = SimulationSpec(n_cells=n_cells, n_genes=len(rates), n_perturbations=1, n_batches=1, n_guides=1)
    total = float(np.sum(rates))
    return dataclasses.replace(
        draw_simulation(spec),
        effects=np.zeros((2, len(rates)), np.float32),
        shares=np.array([rates], np.float32) / np.float32(total),
        dispersion=np.array(dispersion, np.float32),
        cell_depth=np.full(n_cells, total, np.float32),
    )


def test_file_reads_as_anndata_and_the_truth_stands_beside(tmp_path: Path) -> None:
    out = simulate(SMALL, tmp_path / "cells.h5ad")
    cells = ad.read_h5ad(out)
    assert cells.shape == (240, 90)
    assert cells.X.dtype == np.float32
    assert cells.X.has_canonical_format and cells.X.data.min() >= 1 and (cells.X.data % 1 == 0).all()
    assert list(cells.obs) == ["target_gene", "guide_id", "batch"]
    assert {str(dtype) for dtype in cells.obs.dtypes} == {"category"}
    assert cells.obs_names.is_unique and cells.var_names.is_unique
    assert bool(cells.uns["simulated"]) and cells.uns["seed"] == 4
    truth = np.load(tmp_path / "cells.truth" / "truth.npz")
    labels = set(cells.obs["target_gene"])
    assert set(truth["perturbations"]) | {CONTROL} == labels
    assert truth["effects"].shape == (6, 90) and truth["effects"].dtype == np.float32
    assert list(truth["genes"]) == list(cells.var_names)
    own = truth["effects"][np.arange(6), cells.var_names.get_indexer(truth["perturbations"])]
    np.testing.assert_allclose(np.exp(own), truth["knockdown"][:, 0], rtol=1e-5)
    assert ((truth["knockdown"][:, 0] > 0.04) & (truth["knockdown"][:, 0] < 0.31)).all()
    guide_of = dict(zip(truth["guides"], truth["guide_perturbation"], strict=True))
    assert all(guide_of[g] == p for g, p in zip(cells.obs["guide_id"], cells.obs["target_gene"], strict=True))
    assert ((truth["guide_efficacy"] >= 0) & (truth["guide_efficacy"] <= 1)).all()
    embedding = np.load(tmp_path / "cells.truth" / "gene_embedding.npz")
    assert list(embedding["genes"]) == list(truth["genes"])
    np.testing.assert_allclose(np.linalg.norm(embedding["embedding"], axis=1), 1, rtol=1e-5)


def test_same_seed_same_bytes_other_seed_other_cells(tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.h5ad" for name in ("first", "again", "other"))
    for out, seed in ((first, 4), (again, 4), (other, 5)):
        simulate(SMALL.model_copy(update={"seed": seed}), out)
    assert first.read_bytes() == again.read_bytes()
    assert digest(first) != digest(other)
    for name in ("truth.npz", "gene_embedding.npz"):
        assert (tmp_path / "first.truth" / name).read_bytes() == (tmp_path / "again.truth" / name).read_bytes()


@pytest.mark.parametrize("block", [1, 7 * 90, 100 * 90])
def test_cells_do_not_depend_on_the_block_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = simulate(SMALL, tmp_path / "whole.h5ad")
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    assert digest(simulate(SMALL, tmp_path / "blocks.h5ad")) == digest(whole)


def test_gzip_holds_the_same_cells_in_less(tmp_path: Path) -> None:
    plain = simulate(SMALL, tmp_path / "plain.h5ad")
    packed = simulate(SMALL.model_copy(update={"compression": "gzip"}), tmp_path / "packed.h5ad")
    assert digest(plain) == digest(packed)
    assert packed.stat().st_size < plain.stat().st_size


def test_counts_follow_the_negative_binomial() -> None:
    rates = [0.003, 0.4, 3.0, 40.0, 900.0, 4000.0, 0.0]
    dispersion = [1.0, 2.0, 0.3, 0.1, 0.002, 0.01, 0.5]
    n_cells = 60_000
    counts = counts_of(constant_truth(rates, dispersion, n_cells)).toarray().astype(np.float64)
    for gene, (rate, phi) in enumerate(zip(rates[:-1], dispersion[:-1], strict=True)):
        variance = rate + phi * rate**2
        assert abs(counts[:, gene].mean() - rate) < 5 * np.sqrt(variance / n_cells)
        law = nbinom(1 / phi, 1 / (1 + rate * phi))
        error_of_variance = variance * np.sqrt((law.stats("k").item() + 2) / n_cells)
        assert abs(counts[:, gene].var() - variance) < 5 * error_of_variance
        places = np.unique(law.ppf([0.1, 0.3, 0.5, 0.7, 0.9, 0.99]))
        below = (counts[:, gene, None] <= places).mean(axis=0)
        np.testing.assert_allclose(below, law.cdf(places), atol=5 * np.sqrt(0.25 / n_cells))
    assert counts[:, -1].max() == 0
    assert np.abs(np.corrcoef(counts[:, 1:-1].T) - np.eye(5)).max() < 5 / np.sqrt(n_cells)


def test_counts_show_the_truth() -> None:
    truth = draw_simulation(SimulationSpec(n_cells=6000, n_genes=300, n_perturbations=5, median_umis=3000, seed=2))
    counts = counts_of(truth)
    expected = np.zeros(counts.shape)
    for cell, guide in enumerate(truth.cell_guide):
        effect = truth.effects[truth.guide_perturbation[guide]] * truth.guide_efficacy[guide]
        expected[cell] = truth.cell_depth[cell] * truth.shares[truth.cell_batch[cell]] * np.exp(effect)
    variance = expected + truth.dispersion * expected**2
    for groups in (truth.cell_guide, truth.cell_batch):
        for group in np.unique(groups):
            rows = groups == group
            z = (counts[rows].sum(axis=0).A1 - expected[rows].sum(axis=0)) / np.sqrt(variance[rows].sum(axis=0))
            assert np.abs(z).max() < 8
            assert 0.7 < z.std() < 1.3
    assert len(np.unique(truth.guide_efficacy[3:])) == 15
    label = truth.guide_perturbation[truth.cell_guide]
    changes = (label[1:] != label[:-1]).mean()
    assert changes > 0.6  # cells are shuffled


def test_gene_means_span_five_decades_and_most_are_low() -> None:
    means = draw_simulation(SimulationSpec(n_batches=1, batch_effect=0)).shares[0]
    assert 4.99 < np.log10(means.max() / means.min()) < 5.01
    assert np.median(means) < means.mean() / 3


@pytest.mark.slow
def test_library_sizes_and_batches_are_as_asked() -> None:
    truth = draw_simulation(
        SimulationSpec(n_cells=30_000, n_genes=300, median_umis=5000, library_spread=0.4, batch_effect=0.2)
    )
    umis = counts_of(truth).sum(axis=1).A1
    for batch in range(3):
        assert abs(np.log(umis[truth.cell_batch == batch]).std() - 0.4) < 0.03
    assert abs(np.median(umis) / 5000 - 1) < 0.05
    label = truth.guide_perturbation[truth.cell_guide]
    assert all(abs(np.median(umis[label == p]) / 5000 - 1) < 0.15 for p in range(31))
    assert 0.1 < np.log(truth.shares[0] / truth.shares[1]).std() / np.sqrt(2) < 0.3
    np.testing.assert_allclose(truth.shares.sum(axis=1), 1, rtol=1e-5)


def test_effects_are_of_low_rank_and_follow_from_the_embedding() -> None:
    spec = SimulationSpec(n_genes=800, n_perturbations=60, n_programmes=5, strongest=0.3, seed=3)
    truth = draw_simulation(spec)
    targets = [truth.genes.index(label) for label in truth.perturbations[1:]]
    effects = np.delete(truth.effects[1:], targets, axis=1)
    spread = effects.std(axis=1, keepdims=True)
    assert spread.max() / spread.min() > 5
    singular = np.linalg.svd(effects, compute_uv=False)
    assert singular[5] < 0.05 * singular[0]
    features = np.column_stack([np.ones(60), truth.embedding[targets]])
    directions = effects / spread
    fit = np.linalg.lstsq(features[:40], directions[:40], rcond=None)[0]
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(features[40:] @ fit, directions[40:], strict=True)]
    assert np.median(agreement) > 0.7


def test_two_genes_add_up() -> None:
    counts = {"G1": 10, "G2": 10, "G1+G2": 10, "G3+G1": 10}
    truth = draw_simulation(SimulationSpec(perturbations=counts), genes=[f"G{i}" for i in range(50)])
    assert truth.perturbations == [CONTROL, *counts]
    np.testing.assert_allclose(truth.effects[3], truth.effects[1] + truth.effects[2], rtol=1e-6)
    np.testing.assert_allclose(truth.knockdown[3], [truth.knockdown[1, 0], truth.knockdown[2, 0]])
    assert truth.knockdown[4, 1] == truth.knockdown[1, 0]
    drawn = draw_simulation(SimulationSpec(n_pairs=4, n_perturbations=5, n_genes=40, n_cells=200))
    pairs = [label.split("+") for label in drawn.perturbations if "+" in label]
    assert len(pairs) == 4 and all(set(pair) <= set(drawn.perturbations) for pair in pairs)


LABELS = st.sampled_from(["G0", "G1", "G2", "G3", "G0+G1", "G2+G7", CONTROL])


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    counts=st.dictionaries(LABELS, st.integers(1, 25), min_size=1).filter(lambda c: set(c) != {CONTROL}),
    n_batches=st.integers(1, 4),
    n_guides=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_every_perturbation_has_exactly_its_cells(
    counts: dict[str, int], n_batches: int, n_guides: int, seed: int
) -> None:
    spec = SimulationSpec(perturbations=counts, n_batches=n_batches, n_guides=n_guides, seed=seed)
    truth = draw_simulation(spec, genes=[f"G{i}" for i in range(8)])
    labels = np.array(truth.perturbations)[truth.guide_perturbation[truth.cell_guide]]
    found = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    assert {label: found[label] for label in counts} == counts
    assert set(found) == set(counts) | {CONTROL}
    assert counts_of(truth).shape == (sum(found.values()), 8)


@hypothesis_settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 12), pairs=st.integers(0, 5), extra=st.integers(1, 60), fraction=st.floats(0.01, 0.99))
def test_drawn_cells_sum_to_what_was_asked(n: int, pairs: int, extra: int, fraction: float) -> None:
    pairs = min(pairs, n * (n - 1) // 2)
    n_cells = n + pairs + extra
    spec = SimulationSpec(
        n_cells=n_cells, n_genes=30, n_perturbations=n, n_pairs=pairs, control_fraction=fraction, seed=extra
    )
    truth = draw_simulation(spec)
    cells = np.bincount(truth.guide_perturbation[truth.cell_guide], minlength=n + pairs + 1)
    assert cells.sum() == n_cells and cells.min() >= 1 and len(cells) == n + pairs + 1


@given(total=st.integers(0, 10**6), weights=st.lists(st.floats(0.001, 1e4), min_size=1, max_size=30))
def test_share_out_is_whole_and_proportional(total: int, weights: list[float]) -> None:
    parts = share_out(total, np.array(weights))
    assert parts.sum() == total
    assert np.abs(parts - total * np.array(weights) / sum(weights)).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"n_cells": -5}, "n_cells is -5"),
        ({"control_fraction": 1.5}, "control_fraction is 1.5"),
        ({"compression": "lzf"}, "compression is 'lzf'"),
        ({"cells": 5}, "cells is 5"),
        ({"seed": "now"}, "seed is 'now'"),
        ({"weakest": 0.9, "strongest": 0.1}, "swap the two amplitudes"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"perturbations": {"A": 0}}, "'A' has 0 cells"),
        ({"perturbations": {CONTROL: 9}}, "No perturbation is given"),
        ({"perturbations": {}}, "No perturbation is given"),
        ({"perturbations": {"A+A": 9}}, "'A+A' is not a perturbation label"),
        ({"perturbations": {"A+B+C": 9}}, "'A+B+C' is not a perturbation label"),
        ({"perturbations": {"A+": 9}}, "'A+' is not a perturbation label"),
    ],
)
def test_bad_choices_are_one_sentence(choices: dict, sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        SimulationSpec(**choices)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("choices", "genes", "code"),
    [
        ({"perturbations": {"X": 5}}, ["A", "B"], "unknown_target"),
        ({"perturbations": {"A": 5}}, ["A", "B", "A"], "repeated_genes"),
        ({"n_perturbations": 3, "n_cells": 50}, ["A", "B"], "too_few_genes"),
        ({"n_cells": 4, "n_perturbations": 4}, ["A", "B", "C", "D"], "too_few_cells"),
        ({"n_perturbations": 2, "n_pairs": 2, "n_cells": 50}, ["A", "B", "C"], "too_few_genes"),
    ],
)
def test_labels_that_do_not_fit_the_genes_are_refused(choices: dict, genes: list[str], code: str) -> None:
    with refusal(SpecError, code):
        draw_simulation(SimulationSpec(**choices), genes=genes)


def test_nothing_is_written_when_it_is_refused_or_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(fraction: float, message: str = "") -> None:
        if fraction > 0:
            raise Stopped

    with pytest.raises(Stopped):
        simulate(SMALL, tmp_path / "cells.h5ad", progress=stop)
    with refusal(SpecError, "suffix"):
        simulate(SMALL, tmp_path / "cells.csv")
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(2000, 1000, 1000))
    with refusal(ResourceError, "disk"):
        simulate(SMALL, tmp_path / "cells.h5ad")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "real.h5ad").write_bytes(b"years of work")
    with refusal(SpecError, "output_exists"):
        simulate(SMALL, tmp_path / "real.h5ad")
    assert (tmp_path / "real.h5ad").read_bytes() == b"years of work"


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from vccapp.data.simulation.simulate import simulate
from vccapp.data.simulation.experiment import SimulationSpec
spec = SimulationSpec(n_cells=20_000, n_genes=5_000, n_perturbations=100, median_umis=20_000)
simulate(spec, Path({str(tmp_path / "big.h5ad")!r}))
[peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(peak.split()[1])  # of this process alone; getrusage would count the one that started it
"""
    peak = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n_bytes = (tmp_path / "big.h5ad").stat().st_size
    assert n_bytes > 2e8
    assert int(peak.stdout) * 1024 < 6e8
