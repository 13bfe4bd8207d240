"""250 spoiled submissions of each season: the named ones of `mutations`, those of list F, and chance pairs and triples.

for name, spoil in spoil_all("vcc2026").items():
    write(path)
    spoil(path)
"""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from counts_submission import write_counts
from mutations import (
    CONTROL,
    DEPTH,
    MUTATIONS,
    Mutation,
    adata_changed,
    both,
    labels_changed,
    matrix_changed,
    obs_changed,
    replaced,
    values_changed,
    write_submission,
)

NUMBER = 250
BREAKING = {
    *("index_too_large", "index_negative", "indptr_decreasing", "indptr_too_long", "indptr_past_the_end"),
    *("fewer_indices", "data_2d", "shape_too_large", "shape_too_small", "slack", "zeroed_block", "cut"),
}
"""After these scipy would read past its arrays: they come last."""


def rows(change: Callable[[ad.AnnData], np.ndarray]) -> Mutation:
    """Other cells, by their positions; one may stand there several times."""

    def apply(adata: ad.AnnData) -> ad.AnnData:
        chosen = adata[change(adata)].copy()
        chosen.obs_names = pd.Index(np.arange(len(chosen)).astype(str), dtype=object)
        return chosen

    return adata_changed(apply)


def contexts(change: Callable[[str], str | None]) -> Mutation:
    return obs_changed(lambda obs: obs.assign(context=pd.Categorical([change(c) for c in obs["context"].astype(str)])))


def where(column: str, value: str) -> Callable[[ad.AnnData], np.ndarray]:
    return lambda adata: np.flatnonzero((adata.obs[column].astype(str) == value).to_numpy())


def _empty_in(context: str | None) -> Mutation:
    """All cells of G2 empty, in one context or in all."""

    def apply(adata: ad.AnnData) -> None:
        dense, hit = adata.X.toarray(), (adata.obs["target_gene"].astype(str) == "G2").to_numpy()
        if context is not None:
            hit &= (adata.obs["context"].astype(str) == context).to_numpy()
        dense[hit] = 0
        adata.X = sp.csr_matrix(dense)

    return adata_changed(apply)


def _suffix(labels: list[str]) -> list[str]:
    return [label if label == CONTROL else f"{label}-{1 + i % 2}" for i, label in enumerate(labels)]


def _some(labels: list[str], new: str) -> list[str]:
    return [new if i in (5, 6) else label for i, label in enumerate(labels)]


def _repeated(adata: ad.AnnData) -> None:
    """The first value of each cell in two halves at one place."""
    x = adata.X.tocsr()
    data, indices, indptr = [], [], [0]
    for start, stop in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        own, at = x.data[start:stop], x.indices[start:stop]
        if len(own):
            own, at = np.r_[own[0] / 2, own[0] / 2, own[1:]], np.r_[at[0], at]
        data.append(own)
        indices.append(at)
        indptr.append(indptr[-1] + len(own))
    arrays = np.concatenate(data).astype(np.float32), np.concatenate(indices), np.array(indptr)
    adata.X = sp.csr_matrix(arrays, shape=x.shape)


COMMON: dict[str, Mutation] = {
    "guide_suffixes": labels_changed(_suffix),
    "one_guide_suffix": labels_changed(lambda labels: [f"{x}-1" if x == "G3" else x for x in labels]),
    "tiled": values_changed(lambda x: np.repeat(x[::10], 10, axis=0)[: len(x)]),
    "one_cell_more": rows(lambda a: np.r_[0 : a.n_obs, 100]),
    "one_cell_less": rows(lambda a: np.delete(np.arange(a.n_obs), 100)),
    "twice_the_cells": rows(lambda a: np.tile(np.arange(a.n_obs), 2)),
    "no_cells": rows(lambda a: np.arange(0)),
    "shuffled_cells": rows(lambda a: np.random.default_rng(5).permutation(a.n_obs)),
    "float64_noise": adata_changed(lambda a: setattr(a, "X", a.X.astype(np.float64) * (1 + 1e-12))),
    "repeated_places": adata_changed(_repeated),
    "slack": both(
        replaced("X/data", lambda data: np.append(data, 1).astype("f4")),
        replaced("X/indices", lambda indices: np.append(indices, 1).astype("i4")),
    ),
    "all_of_one_empty": _empty_in(None),
    "dense_zeros": matrix_changed(lambda x: x.toarray()),
}
OF_2025: dict[str, Mutation] = {
    "log2": values_changed(lambda x: x / np.log(2)),
    "log10": values_changed(lambda x: x / np.log(10)),
    "twice": values_changed(np.log1p),
    "square_roots": values_changed(lambda x: np.sqrt(np.expm1(x))),
    "cp10k": values_changed(lambda x: np.log1p(np.expm1(x) / DEPTH * 1e4)),
    "a_tenth": values_changed(lambda x: x * 0.1),
    "negative_counts": values_changed(lambda x: np.where(x == x.max(), -3, np.rint(np.expm1(x)))),
    "tiny_fractions": values_changed(lambda x: np.rint(np.expm1(x)) + 5e-4 * (x > 1)),
    "infinite_counts": values_changed(lambda x: np.where(x == x.max(), np.inf, np.rint(np.expm1(x)))),
    "control_word": labels_changed(lambda labels: ["control" if x == CONTROL else x for x in labels]),
    "control_upper": labels_changed(lambda labels: [x.upper() if x == CONTROL else x for x in labels]),
    "half_controls_ntc": labels_changed(
        lambda labels: ["NTC" if x == CONTROL and i % 2 else x for i, x in enumerate(labels)]
    ),
    "above_the_cap": rows(lambda a: np.r_[0 : a.n_obs, 0:30]),
}
OF_2026: dict[str, Mutation] = {
    "logged": values_changed(np.log1p),
    "rounded_log": values_changed(lambda x: np.rint(np.log1p(x))),
    "fractions": values_changed(lambda x: x * 1.5),
    "tiny_fractions": values_changed(lambda x: x + 5e-5 * (x > 0)),
    "negative_counts": values_changed(lambda x: np.where(x == x.max(), -3, x)),
    "deep": values_changed(lambda x: x * 20),
    "one_deep_cell": values_changed(lambda x: x * np.where(np.arange(len(x)) == 7, 30, 1)[:, None]),
    "shallow": values_changed(lambda x: np.floor(x / 10)),
    "controls": labels_changed(lambda labels: _some(labels, CONTROL)),
    "controls_ntc": labels_changed(lambda labels: _some(labels, "NTC")),
    "contexts_lower": contexts(str.lower),
    "contexts_of_final": contexts(lambda c: {"A": "D", "B": "E"}[c]),
    "contexts_blank": contexts(lambda c: "" if c == "B" else c),
    "contexts_missing": contexts(lambda c: None if c == "B" else c),
    "contexts_spaces": contexts(lambda c: f"{c} "),
    "contexts_swapped": contexts(lambda c: {"A": "B", "B": "A"}[c]),
    "contexts_one": contexts(lambda c: "A"),
    "no_context_column": obs_changed(lambda obs: obs.drop(columns="context")),
    "context_left_out": rows(where("context", "A")),
    "contexts_unknown_some": obs_changed(
        lambda obs: obs.assign(context=["C" if i == 3 else c for i, c in enumerate(obs["context"].astype(str))])
    ),
    "empty_in_one_context": _empty_in("B"),
    "missing_in_one_context": rows(
        lambda a: np.flatnonzero(
            ~((a.obs["target_gene"].astype(str) == "G2") & (a.obs["context"].astype(str) == "B")).to_numpy()
        )
    ),
    "dense_values": values_changed(lambda x: x + 1),
    "int64": matrix_changed(lambda x: x.astype(np.int64)),
    "uint16": matrix_changed(lambda x: x.astype(np.uint16)),
}


def named(season: str) -> dict[str, Mutation]:
    return MUTATIONS | COMMON | (OF_2025 if season == "vcc2025" else OF_2026)


def spoil_all(season: str, *, number: int = NUMBER, seed: int = 0) -> dict[str, Mutation]:
    """The named ones, then pairs and triples of them by chance, `number` in all."""
    single = named(season)
    rng, names, found = np.random.default_rng(seed), list(single), dict(single)
    while len(found) < number:
        chosen = [names[i] for i in rng.choice(len(names), int(rng.integers(2, 4)), replace=False)]
        chosen.sort(key=BREAKING.__contains__)
        found.setdefault("+".join(chosen), _in_turn([single[name] for name in chosen]))
    return found


def _in_turn(spoils: list[Mutation]) -> Mutation:
    """One after the other; one that cannot spoil what another has left is passed over."""

    def spoil(path: Path) -> None:
        for one in spoils:
            before = path.read_bytes()
            try:
                one(path)
            except Exception:  # whatever a library makes of a spoiled file
                path.write_bytes(before)

    return spoil


def write_spoiled(season: str, path: Path, spoil: Mutation) -> None:
    (write_submission if season == "vcc2025" else write_counts)(path)
    _in_turn([spoil])(path)
