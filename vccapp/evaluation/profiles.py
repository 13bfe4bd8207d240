"""Profiles of perturbations, real or predicted: pseudobulks, and what else is known of their cells.

    real = real_profiles(index, labels)
    predicted = predicted_profiles(index, deltas, labels)
    frame = compute_metrics(real, predicted)                    # vccapp.evaluation.scoring.score

Rows are perturbations sorted by name, without the control; columns are the genes of the data in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from vccapp.data.schema import CONTROL, context_of, is_control, positions_of
from vccapp.data.significance import FDR
from vccapp.errors import SpecError
from vccapp.stats.pseudobulks import Pseudobulks
from vccapp.wording import name_some

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Part = TypeVar("Part")


@dataclass(frozen=True)
class DeTable:
    """DE of each perturbation against the controls of the same cells, by the 2025 definition: (n, n_genes) arrays.

    fdr, lfc : float32, as the official scorer compares and ranks them; lfc is log2 of the ratio of expm1(mean log1p),
    infinite where one of the two is zero. p_value : float64
    """

    p_value: np.ndarray
    fdr: np.ndarray
    lfc: np.ndarray

    @property
    def significant(self) -> np.ndarray:
        return self.fdr < np.float32(FDR)


@dataclass(frozen=True)
class PooledTable:
    """What the 2026 metrics look at, from counts: cells of the perturbations, compared with the real controls.

    profile : (n, n_genes) float64, log1p of pooled counts scaled to a sum of 50,000
    noise : (n,) float64, jackknife variance of the profile, summed over genes
    control, control_noise : those of the real controls
    fdr : (n, n_genes) float64, of the cells scaled to counts per million, over the genes that real controls express;
    1 for the others. p_value : likewise, NaN for the others
    lfc : (n, n_genes) float64, log2 of the ratio of mean counts per million
    """

    profile: np.ndarray
    control: np.ndarray
    noise: np.ndarray
    control_noise: float
    p_value: np.ndarray
    fdr: np.ndarray
    lfc: np.ndarray

    @property
    def effect(self) -> np.ndarray:
        """(n, n_genes) profile minus that of the real controls."""
        return self.profile - self.control

    @property
    def significant(self) -> np.ndarray:
        return self.fdr < FDR


@dataclass(frozen=True)
class Profiles:
    """Perturbations, real or predicted.

    genes : (n_genes,) str; labels : n perturbations, sorted
    means : (n, n_genes) float64 mean log1p; control_mean : likewise, of the controls of each; or (n_genes,) of all
    de, pooled : None where the cells are not known
    t_score : (n, n_genes) float64, Welch's t of cells against controls, log1p; NaN for a perturbation of one cell, None
    where not known
    cells : some cells of each perturbation, (cells, dimensions) in a space that real and predicted ones share, see
    `cell_space`
    """

    genes: np.ndarray
    labels: tuple[str, ...]
    means: np.ndarray
    control_mean: np.ndarray
    de: DeTable | None = None
    pooled: PooledTable | None = None
    t_score: np.ndarray | None = None
    cells: "tuple[np.ndarray | csr_matrix, ...] | None" = None

    def only(self, labels: Sequence[str], order: np.ndarray | None = None) -> "Profiles":
        """Means and DE of some perturbations, sorted; genes in the `order` of their columns here."""
        rows = np.array([self.labels.index(label) for label in labels])
        at = np.arange(len(self.genes)) if order is None else order
        cells = np.ix_(rows, at)
        de = self.de and DeTable(self.de.p_value[cells], self.de.fdr[cells], self.de.lfc[cells])
        return Profiles(self.genes[at], tuple(labels), self.means[cells], self.control_mean[at], de)

    @cached_property
    def deltas(self) -> np.ndarray:
        """(n, n_genes) float64 means minus the control's."""
        return self.means - self.control_mean

    def contexts(self) -> "list[tuple[list[int], Profiles]]":
        """The profiles of each context, and which rows they are: what is ranked or pooled is so within a context."""
        own: dict[str | None, list[int]] = {}
        for row, label in enumerate(self.labels):
            own.setdefault(context_of(label), []).append(row)
        return [(rows, self if len(own) == 1 else self._take(rows)) for rows in own.values()]

    def _take(self, rows: list[int]) -> "Profiles":
        return replace(
            self,
            labels=tuple(self.labels[row] for row in rows),
            means=self.means[rows],
            control_mean=self.control_mean[rows] if self.control_mean.ndim == 2 else self.control_mean,
            de=self.de and DeTable(*(getattr(self.de, field.name)[rows] for field in fields(DeTable))),
            t_score=None if self.t_score is None else self.t_score[rows],
        )

    @cached_property
    def delta_ranks(self) -> np.ndarray:
        """(n, n_genes) float64 ranks of deltas within a perturbation, ties sharing their mean rank."""
        return pd.DataFrame(self.deltas).rank(axis=1).to_numpy()  # scipy.stats has it too, but takes 0.4 s to import


def known(part: Part | None) -> Part:
    """What a metric finds in both profiles because it says that it needs it, see `Metric.is_known`."""
    if part is None:
        msg = "a metric was computed of profiles that lack what it needs"
        raise ValueError(msg)
    return part


def real_profiles(index: Pseudobulks, labels: Sequence[str]) -> Profiles:
    """The cells of an index, with DE; the precision is that of the index, float32."""
    names = _sorted(labels)
    rows = index.rows(list(names))
    de = DeTable(*(index.array(f"de/{name}")[rows] for name in ("p_value", "fdr", "lfc_2025")))
    means, control = index.means(names), index.control_means(names)
    return Profiles(
        genes=index.genes["gene"].to_numpy(str),
        labels=names,
        means=means.astype(np.float64),
        control_mean=np.asarray(control, dtype=np.float64),
        de=de,
        t_score=_welch(index, rows),
    )


def predicted_profiles(index: Pseudobulks, deltas: np.ndarray, labels: Sequence[str]) -> Profiles:
    """Predicted pseudobulks: the real control mean plus `deltas` (n, n_genes), rows in the order of `labels`.

    Raises SpecError for deltas of another shape, or that are no finite numbers: a comparison with NaN would count as
    "nearer".
    """
    wanted = (len(labels), len(index.genes))
    if deltas.shape != wanted:
        raise SpecError(
            "delta_shape",
            f"Predicted deltas have shape {deltas.shape}, but {wanted} is needed: perturbations x genes of the data",
        )
    if wrong := [label for label, row in zip(labels, deltas, strict=True) if not np.isfinite(row).all()]:
        raise SpecError(
            "not_finite",
            f"The prediction of {name_some(wrong)} holds NaN or infinite values, which cannot be judged",
            found=wrong,
            fix="train or import it again",
        )
    names = _sorted(labels)
    position = positions_of(labels)
    control = np.asarray(index.control_means(names), dtype=np.float64)
    means = control + np.asarray(deltas)[[position[name] for name in names]]
    return Profiles(genes=index.genes["gene"].to_numpy(str), labels=names, means=means, control_mean=control)


def _sorted(labels: Sequence[str]) -> tuple[str, ...]:
    """Raises SpecError for controls and for labels that occur twice."""
    names = tuple(sorted(labels))
    if len(set(names)) < len(names) or any(map(is_control, names)):
        raise SpecError(
            "bad_perturbations",
            f"Perturbations to score are {', '.join(names[:5])} ...",
            fix=f"give each once, and not the control {CONTROL}",
        )
    return names


def _welch(index: Pseudobulks, rows: list[int]) -> np.ndarray:
    """(n, n_genes) Welch's t of log1p values against the controls; 0 where neither varies, NaN for a single cell."""
    controls = index.control_rows([index.labels[row] for row in rows])
    cells = index.perturbations["n_cells"].to_numpy(np.float64)
    mean, variance = index.array("mean"), index.array("variance")  # the variance is that of the population

    def squared_error(rows: list[int]) -> np.ndarray:
        own, place = np.unique(np.asarray(rows, int), return_inverse=True)  # the controls of many are the same
        return (variance[own] / np.where(cells[own] > 1, cells[own] - 1, np.nan)[:, None])[place]

    difference = mean[rows].astype(np.float64) - mean[controls]
    error = np.sqrt(squared_error(rows) + squared_error(controls))
    return np.divide(difference, error, out=np.zeros_like(difference), where=error != 0)
