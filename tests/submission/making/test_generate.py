"""The cells of a plan: log1p values or counts, of several sources, with the columns that the season asks for."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns, label_in, target_of
from vccapp.data.splits.split import make_split, split_from_lists
from vccapp.errors import DataError, SpecError, Stopped
from vccapp.models.base import Model, make_model
from vccapp.seasons.base import Phase, Season
from vccapp.seasons.containers import CONTAINERS
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index
from vccapp.submission.making.generate import Opened, generate
from vccapp.submission.plan import Plan, Source
from vccapp.training.aligned import align_model
from vccapp.training.counts import CountPool

GENES = [f"GENE{i}" for i in range(60)]
SEASON = Season(
    name="two-lines",
    label="Two lines",
    n_genes=len(GENES),
    context_col="line",
    pert_col="target",
    control_label="NTC",
    controls="allowed",
    spaces=("counts", "log1p"),
    cells_per_target=None,
    max_cells=10_000,
    container=CONTAINERS["h5ad"],
    metrics="2026",
    phases=(Phase(name="only", label="Only", contexts=("X", "Y")),),
    source="this test",
)


class Made:
    """Two datasets of other depths, the second with other genes in another order, and a model of the first."""

    def __init__(self, folder: Path) -> None:
        first, second = make_counts(900, seed=1), make_counts(600, seed=2)
        second.var_names = [f"OTHER{i}" if i < 5 else name for i, name in enumerate(second.var_names)]
        second = second[:, ::-1].copy()
        self.opened: dict[str, tuple] = {}
        for name, data in (("X", first), ("Y", second)):
            data.write_h5ad(folder / f"{name}.h5ad")
            dataset = open_dataset(folder / f"{name}.h5ad")
            build_index(dataset, folder / name)
            self.opened[name] = dataset, load_index(folder / name)
        index = self.opened["X"][1]
        lists = {"train": GENES[:3], "val": [], "test": GENES[3:4]}
        split = split_from_lists(name="s", dataset=index.meta["fingerprint"], **lists)
        self.model = make_model("perturbation_mean").fit(index, split, seed=0)

    def index(self, name: str) -> Index:
        return self.opened[name][1]

    def sources(self, *contexts: str, model: Model | None = None) -> dict[str, Opened]:
        return {
            context: Opened(*self.opened[context], align_model(model or self.model, self.index(context)))
            for context in contexts
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def plan_of(made: Made, tmp_path: Path) -> Callable[..., Plan]:
    def make(*contexts: str, **fields) -> Plan:
        shared = sorted(set(GENES) & set(made.index("Y").genes["gene"]), key=GENES.index)
        genes = tmp_path / "genes.csv"
        genes.write_text("\n".join(shared if "Y" in contexts else GENES) + "\n")
        cells = {label_in(target, context): 50 for context in contexts for target in ("GENE2", "GENE9")}
        return Plan(
            **{
                "id": "mine",
                "season": SEASON.name,
                "space": "counts",
                "sources": {name: Source(dataset=made.opened[name][0].fingerprint, run="r") for name in contexts},
                "genes": genes,
                "n_genes": len(shared) if "Y" in contexts else len(GENES),
                "cells": cells,
                "wanted": cells,
                "n_controls": 40,
                "values_per_cell": 50,
                "seed": 5,
                "practice": True,
            }
            | fields
        )

    return make


def write(plan: Plan, made: Made, path: Path, **more) -> ad.AnnData:
    generate(plan, made.sources(*plan.sources), path, season=SEASON, **more)
    return ad.read_h5ad(path)


@pytest.mark.slow
def test_counts_of_two_sources(made, plan_of, tmp_path):
    plan = plan_of("X", "Y")
    found = write(plan, made, tmp_path / "cells.h5ad")
    assert found.obs.columns.tolist() == ["target", "line"]
    assert [found.obs[name].dtype.name for name in found.obs] == ["category"] * 2
    assert found.obs_names.tolist() == [str(i) for i in range(280)]
    own = ["NTC"] * 40 + ["GENE2"] * 50 + ["GENE9"] * 50
    assert found.obs["target"].tolist() == own * 2
    assert found.obs["line"].tolist() == ["X"] * 140 + ["Y"] * 140
    assert found.var_names.tolist() == plan.genes.read_text().split()
    assert found.X.dtype == np.float32 and (found.X.data == np.round(found.X.data)).all() and (found.X.data > 0).all()
    for name in ("X", "Y"):
        x = ad.read_h5ad(made.opened[name][0].path)[:, found.var_names]
        real = {row.tobytes() for row in x[x.obs["target_gene"] == CONTROL].X.toarray()}
        controls = found[(found.obs["line"] == name) & (found.obs["target"] == "NTC")].X.toarray()
        assert all(row.tobytes() in real for row in controls)  # their own counts
        for target in ("GENE2", "GENE9"):
            cells = found[(found.obs["line"] == name) & (found.obs["target"] == target)].X.toarray()
            assert len(np.unique(cells, axis=0)) == 50


def test_genes_that_the_model_lacks_keep_the_values_of_the_controls(made, plan_of, tmp_path):
    aligned = align_model(made.model, made.index("Y"))
    deltas = aligned.predict(["GENE2"])
    genes = made.index("Y").genes["gene"].tolist()
    known = [gene in GENES for gene in genes]
    assert (deltas[0, ~np.array(known)] == 0).all() and known.count(False) == 5
    own = made.model.predict(["GENE2"])[0]
    for gene in ("GENE7", "GENE50"):
        assert deltas[0, genes.index(gene)] == own[GENES.index(gene)]
    assert align_model(made.model, made.index("X")) is made.model


@pytest.mark.parametrize("method", ["thin", "negative_binomial"])
def test_cells_have_the_depth_of_the_plan(made, plan_of, tmp_path, method):
    cells = {"GENE2@X": 150, "GENE9@X": 150}
    plan = plan_of("X", cells=cells, wanted=cells, depth=90.0, depths={"GENE9@X": 300.0}, counts=method)
    found = write(plan, made, tmp_path / "cells.h5ad")
    total = np.asarray(found.X.sum(axis=1)).ravel()
    assert np.median(total[found.obs["target"] == "GENE2"]) == pytest.approx(90, rel=0.1)
    assert np.median(total[found.obs["target"] == "GENE9"]) == pytest.approx(300, rel=0.1)


@pytest.mark.parametrize("method", ["thin", "negative_binomial"])
def test_a_model_without_effect_gives_the_controls_again(made, plan_of, tmp_path, method):
    """Gene means, variances, zeros and depths within sampling error."""
    model = made.model
    none = np.zeros((1, len(GENES)), np.float32)

    class Still:
        makes_cells = False

        def predict(self, perturbations):
            return np.repeat(none, len(perturbations), axis=0)

    assert model.makes_cells is False
    n = 2000  # more than the 300 controls: each is used several times
    plan = plan_of("X", cells={"GENE2@X": n}, wanted={"GENE2@X": n}, counts=method)
    generate(plan, {"X": Opened(*made.opened["X"], Still())}, tmp_path / "cells.h5ad", season=SEASON)
    found = ad.read_h5ad(tmp_path / "cells.h5ad")
    cells = found[found.obs["target"] == "GENE2"].X.toarray()
    assert len(np.unique(cells, axis=0)) == n
    data = ad.read_h5ad(made.opened["X"][0].path)
    real = data[data.obs["target_gene"] == CONTROL].X.toarray()
    # Counts of genes that are 1 in every cell, or 400 in one, are no negative binomial.
    usual = (real.max(axis=0) < 100) & (real.var(axis=0) >= 0.5 * real.mean(axis=0))
    cells, real = cells[:, usual], real[:, usual]
    error = real.std(axis=0) / np.sqrt(len(real))
    assert (np.abs(cells.mean(axis=0) - real.mean(axis=0)) <= 5 * error + 0.02).all()
    spread = ((real - real.mean(axis=0)) ** 2).std(axis=0) / np.sqrt(len(real))
    assert (np.abs(cells.var(axis=0) - real.var(axis=0)) <= 5 * spread + 0.1 * real.var(axis=0) + 0.05).all()
    zeros = (real > 0).mean(axis=0)
    assert (np.abs((cells > 0).mean(axis=0) - zeros) <= 5 * np.sqrt(zeros * (1 - zeros) / len(real)) + 0.02).all()
    total, own = cells.sum(axis=1), real.sum(axis=1)
    assert np.median(total) == pytest.approx(np.median(own), rel=0.05)
    assert total.std() == pytest.approx(own.std(), rel=0.2)


def test_predicted_controls_are_no_copies(made, plan_of, tmp_path):
    found = write(plan_of("X", controls="predicted"), made, tmp_path / "cells.h5ad")
    data = ad.read_h5ad(made.opened["X"][0].path)
    real = {row.tobytes() for row in data.X.toarray()}
    controls = found[found.obs["target"] == "NTC"].X.toarray()
    assert len(controls) == 40 and not any(row.tobytes() in real for row in controls)
    logs = write(plan_of("X", controls="predicted", space="log1p"), made, tmp_path / "logs.h5ad")
    assert logs.obs["target"].tolist() == found.obs["target"].tolist()


def test_no_controls_where_the_plan_has_none(made, plan_of, tmp_path):
    found = write(plan_of("X", n_controls=0), made, tmp_path / "cells.h5ad")
    assert set(found.obs["target"]) == {"GENE2", "GENE9"}


def test_log_values_of_two_sources(made, plan_of, tmp_path):
    found = write(plan_of("X", "Y", space="log1p"), made, tmp_path / "cells.h5ad")
    assert found.obs["line"].tolist() == ["X"] * 140 + ["Y"] * 140
    assert (found.X.data != np.round(found.X.data)).any()
    # A gene that the model does not know is as in the controls.
    assert np.isfinite(found.X.data).all()


def test_the_seed_and_the_label_alone_decide(made, plan_of, tmp_path):
    both = write(plan_of("X"), made, tmp_path / "a.h5ad")
    one = write(plan_of("X", cells={"GENE9@X": 50}, wanted={"GENE9@X": 50}), made, tmp_path / "b.h5ad")
    again = write(plan_of("X"), made, tmp_path / "c.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "c.h5ad").read_bytes()
    assert (both[-50:].X != one[-50:].X).nnz == 0
    assert (again.X != write(plan_of("X", seed=6), made, tmp_path / "d.h5ad").X).nnz > 0


@pytest.mark.slow
def test_controls_that_do_not_fit_the_memory_give_the_same_cells(made, plan_of, tmp_path, monkeypatch):
    write(plan_of("X"), made, tmp_path / "a.h5ad")
    monkeypatch.setattr("vccapp.training.counts.POOL_VALUES", 0)
    write(plan_of("X"), made, tmp_path / "b.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


@pytest.mark.slow
def test_a_pool_knows_large_counts(made, tmp_path):
    data = make_counts(200, seed=3)
    data.X.data[7] = 70_000
    data.write_h5ad(tmp_path / "large.h5ad")
    dataset = open_dataset(tmp_path / "large.h5ad")
    build_index(dataset, tmp_path / "index")
    pool = CountPool(dataset, load_index(tmp_path / "index"), None, columns=None)
    control = (data.obs["target_gene"] == CONTROL).to_numpy()
    np.testing.assert_array_equal(pool.totals, np.asarray(data.X.sum(axis=1)).ravel()[control])
    assert target_of(pool.label) == CONTROL


@pytest.mark.slow
@pytest.mark.parametrize("space", ["counts", "log1p"])
@pytest.mark.parametrize("controls", [0, 40])
def test_stopped_anywhere_and_gone_on_with(made, plan_of, tmp_path, monkeypatch, space, controls):
    monkeypatch.setattr("vccapp.submission.making.unfinished.CHECKPOINT_VALUES", 1)
    plan, whole, out = plan_of("X", "Y", space=space, n_controls=controls), tmp_path / "whole", tmp_path / "cells.h5ad"
    write(plan, made, whole)
    n_pieces, said = len(plan.cells) + (2 if controls else 0), []

    def stop_once(fraction: float, message: str = "") -> None:
        if "finished" in message:
            raise Stopped

    for _ in range(n_pieces):  # each start makes one piece
        with pytest.raises(Stopped):
            generate(plan, made.sources("X", "Y"), out, season=SEASON, progress=stop_once)
        assert not out.exists()
    generate(plan, made.sources("X", "Y"), out, season=SEASON, progress=lambda _, message="": said.append(message))
    assert said[0] == f"Going on after {plan.estimate.n_cells:,} cells" and not any("finished" in s for s in said)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "genes.csv", "whole"]


def test_controls_alone_are_a_source_but_teach_nothing(made, plan_of, tmp_path):
    data = make_counts(300, seed=4)
    data[data.obs["target_gene"] == CONTROL].copy().write_h5ad(tmp_path / "controls.h5ad")
    with refusal(DataError, "only_controls"):
        open_dataset(tmp_path / "controls.h5ad")
    dataset = open_dataset(tmp_path / "controls.h5ad", columns=Columns(perturbation="target_gene"))
    assert any("no model can be trained" in note for note in dataset.schema.notes)
    build_index(dataset, tmp_path / "index")
    index = load_index(tmp_path / "index")
    assert index.perturbed == []
    with refusal(SpecError, "no_perturbation"):
        make_split(index.labels, name="s", dataset=dataset.fingerprint)
    plan = plan_of("X", sources={"X": Source(dataset=dataset.fingerprint, run="r")}, n_controls=0)
    sources = {"X": Opened(dataset, index, align_model(made.model, index))}
    generate(plan, sources, tmp_path / "cells.h5ad", season=SEASON)
    assert ad.read_h5ad(tmp_path / "cells.h5ad").shape == (100, 60)
