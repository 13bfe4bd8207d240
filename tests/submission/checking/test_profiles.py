"""Mean counts of a bundle's control cells: right, kept, and measured again only where the files are others."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from bundles import make_bundle

from vccapp.seasons.opened import find_season, open_bundle
from vccapp.settings import Settings
from vccapp.submission.checking import profiles
from vccapp.submission.checking.profiles import control_profiles


@pytest.mark.slow
def test_profiles_of_an_opened_bundle(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    season = find_season("vcc2026", settings)
    assert control_profiles(season, settings) == {}
    folder = make_bundle(tmp_path / "controls")
    open_bundle(folder, settings)
    season = find_season("vcc2026", settings)
    found = control_profiles(season, settings)
    for context in "ABC":
        cells = ad.read_h5ad(folder / f"context_{context}.h5ad").X
        np.testing.assert_allclose(found[context], np.asarray(cells.mean(axis=0)).ravel(), rtol=1e-6)
    monkeypatch.setattr(profiles, "_measure", lambda *paths: pytest.fail("measured again"))
    assert set(control_profiles(season, settings)) == set("ABC")
    (folder / "context_A.h5ad").unlink()
    assert set(control_profiles(season, settings)) == set("BC")
