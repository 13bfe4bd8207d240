"""What pages read is shared, and read anew when its files change."""

import os
from pathlib import Path

import pytest
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.splits.split import make_split, write_split
from vccapp.data.workspace import register
from vccapp.settings import Settings
from vccapp.stats.building.build import build_index
from vccapp.training import RunSpec, load_run, train
from vccapp.ui.comparison.choice import load_comparison
from vccapp.ui.comparison.gene_choice import load_gene_sets
from vccapp.ui.kit.loaders import load_cells, load_gene, load_index


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("loaders")
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder,))
    make_counts(300).write_h5ad(folder / "toy.h5ad")
    dataset = open_dataset(folder / "toy.h5ad")
    home = register(dataset, settings)
    build_index(dataset, home / "index")
    labels = load_index(home / "index").labels[1:]
    write_split(make_split(labels, name="s", dataset=dataset.fingerprint, ratio=(0.5, 0, 0.5)), settings)
    for seed in (0, 1):
        spec = RunSpec(model="perturbation_mean", dataset=dataset.fingerprint, split="s", seed=seed)
        train(spec, settings, run_id=f"run{seed}")
    return settings


def touch(path: Path) -> None:
    """As if it had been written a second later."""
    later = path.stat().st_mtime + 1
    os.utime(path, (later, later))


@pytest.mark.slow
def test_an_index_and_what_is_read_of_it_are_shared_until_it_is_rebuilt(settings: Settings) -> None:
    [folder] = settings.datasets.glob("*/index")
    index = load_index(folder)
    assert load_index(folder) is index
    cells, values = load_cells(index), load_gene(index, "GENE1")
    assert load_cells(load_index(folder)) is cells
    assert load_gene(index, "GENE2") is not values
    touch(folder / "index.json")
    again = load_index(folder)
    assert again is not index
    assert load_cells(again) is not cells and load_cells(again).equals(cells)


def test_a_comparison_is_shared_until_a_run_or_its_scores_change(settings: Settings) -> None:
    [folder] = settings.datasets.glob("*/index")
    runs = tuple(load_run(f"run{seed}", settings) for seed in (0, 1))
    index = load_index(folder)
    comparison = load_comparison(index, runs, part="test")
    read_again = tuple(load_run(run.id, settings) for run in runs)
    assert load_comparison(index, read_again, part="test") is comparison
    assert load_comparison(index, runs[:1], part="test") is not comparison
    assert load_comparison(index, runs[::-1], part="test").runs[0].key == "run1"
    touch(runs[1].folder / "scores")
    assert load_comparison(index, runs, part="test") is not comparison


def test_a_file_is_read_anew_when_it_was_written_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.gmt"
    file.write_text("ONE\tx\tA\tB\n")
    sets = load_gene_sets(file)
    assert load_gene_sets(file) is sets
    file.write_text("ONE\tx\tC\n")
    touch(file)
    assert load_gene_sets(file) == {"ONE": ("C",)}
