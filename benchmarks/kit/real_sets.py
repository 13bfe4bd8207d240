"""The real sets that benchmarks of models are run on, each with an index made in a scratch folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vccapp.data.reading.opening import open_dataset
from vccapp.data.schema import CONTROL, Columns
from vccapp.data.significance import FDR
from vccapp.stats.building.build import build_index
from vccapp.stats.index import Index, load_index

MEMORY_BYTES = 2 * 10**9


@dataclass(frozen=True)
class RealSet:
    """genes; significant : (tests, genes) bool, FDR < 0.05; index : None where only a DE table is known."""

    title: str
    genes: list[str]
    significant: np.ndarray
    index: Index | None = None

    @property
    def labels(self) -> list[str]:
        return [] if self.index is None else [label for label in self.index.labels if label != CONTROL]


def index_file(path: Path, scratch: Path, *, columns: Columns | None = None) -> Index:
    """The index of a file, in `scratch`, made if it is not there yet."""
    folder = scratch / f"{path.stem}.index"
    if not folder.exists():
        build_index(open_dataset(path, columns=columns), folder, memory_bytes=MEMORY_BYTES)
    return load_index(folder)


def index_part(path: Path, scratch: Path, *, name: str, columns: Columns, **wanted: str) -> Index:
    """The index of the cells of a file whose obs columns have the wanted values."""
    import anndata as ad

    out = scratch / f"{name}.h5ad"
    if not out.exists():
        cells = ad.read_h5ad(path)
        keep = np.logical_and.reduce([cells.obs[column] == value for column, value in wanted.items()])
        cells[keep].copy().write_h5ad(out)
    return index_file(out, scratch, columns=columns)


def open_sets(data: Path, scratch: Path) -> Iterator[RealSet]:
    """THP-1 (Papalexi 2021), K562 (Norman 2019), A172, T98G, U87MG (McFaline 2024), H1 (2025 challenge) as far as
    they are in the folder `data`."""
    papalexi = data / "papalexi2021_thp1" / "papalexi2021_thp1_20729x299_counts.h5ad"
    if papalexi.exists():
        yield _of_index("Papalexi THP-1", index_file(papalexi, scratch))
    devel, columns = data / "perturbench_devel" / "devel.h5ad", Columns(perturbation="condition", control="control")
    if devel.exists():
        index = index_part(devel, scratch, name="norman", columns=columns, dataset="norman19")
        yield _of_index("Norman K562", index)
        for line in ("A172", "T98G", "U87MG"):
            yield _of_index(f"McFaline {line}", index_part(devel, scratch, name=line, columns=columns, cell_type=line))
    h1 = data / "vcc2025_h1_subset" / "H1-VCC-2025-training.h5ad"
    if h1.exists():
        yield _of_index("H1 subset", index_file(h1, scratch))
    acat2 = data / "vcc2025_h1_training_stats" / "ACAT2.csv"
    names = data / "vcc2025_official" / "gene_names.csv"
    if acat2.exists() and names.exists():
        genes = names.read_text().split()
        tested = pd.read_csv(acat2).set_index("feature")["fdr"].reindex(genes)
        yield RealSet("H1 ACAT2", genes, (tested < FDR).to_numpy()[None])


def _of_index(title: str, index: Index) -> RealSet:
    significant = np.asarray(index.array("de/fdr"))[1:] < FDR
    return RealSet(title, index.genes["gene"].tolist(), significant, index)
