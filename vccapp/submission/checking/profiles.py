"""Mean counts of the organisers' control cells, context by context: what tells depth, and contexts that are swapped.

Read once from the files of an opened bundle, and kept beside them as long as these stay as they are.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vccapp.data.atomic import save_array, write_file
from vccapp.data.reading.matrix import open_rows
from vccapp.errors import DataError
from vccapp.seasons.base import Season
from vccapp.seasons.bundle import Bundle, list_bundles
from vccapp.settings import Settings

READ_VALUES = 2**22


def control_profiles(season: Season, settings: Settings) -> Mapping[str, np.ndarray]:
    """By context, (genes,) mean counts of its control cells, of all opened bundles of the season. A bundle whose files
    are gone is left out.
    """
    found: dict[str, np.ndarray] = {}
    for bundle in list_bundles(settings, season.name):
        for context in bundle.contexts:
            try:
                found[context] = _profile(bundle, context)
            except DataError:
                continue
    return found


def _profile(bundle: Bundle, context: str) -> np.ndarray:
    path = bundle.control_file(context)
    kept = bundle.folder / f"profile-{bundle.files[context].mtime_ns}-{bundle.contexts.index(context)}.npy"
    try:
        known: np.ndarray = np.load(kept)
        if known.shape == (bundle.n_genes,):
            return known
    except (OSError, ValueError):
        pass
    return _measure(path, kept)


def _measure(path: Path, kept: Path) -> np.ndarray:
    rows = open_rows(path)
    total = np.zeros(rows.shape[1])
    for _, block in rows.iter_rows(READ_VALUES):
        total += np.bincount(block.indices, weights=block.data, minlength=rows.shape[1])
    mean = total / max(rows.shape[0], 1)
    with write_file(kept) as beside:
        save_array(beside, mean)
    return mean
