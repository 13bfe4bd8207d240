"""`vccapp eval metrics` scores two files, as `score_files` does."""

import json
from pathlib import Path

import pandas as pd
import pytest
from scored_pairs import make_pair

from vccapp.cli import main
from vccapp.data.reading.opening import open_dataset
from vccapp.evaluation.scoring.cell_space import CellSpace
from vccapp.evaluation.scoring.score_files import score_files
from vccapp.seasons.base import SEASONS


@pytest.mark.slow
@pytest.mark.parametrize("season", ["vcc2025", "vcc2026"])
def test_two_files_are_scored(season: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    choice = {"seed": 5, "real": ["own"] * 4, "predicted": ["own"] * 7, "outside": 0, "repeats": False}
    paths = [tmp_path / "real.h5ad", tmp_path / "predicted.h5ad"]
    for path, cells in zip(paths, make_pair(choice | {"alike": True, "n_genes": 60}), strict=True):
        cells.write_h5ad(path)
    words = ["eval", "metrics", *map(str, paths), "--season", season, "--energy-cells", "10"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--output", str(tmp_path / "scores.csv"), "--json"])
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)
    expected = score_files(*map(open_dataset, paths), season=SEASONS[season].metrics, space=CellSpace(most_cells=10))
    scores = pd.DataFrame(found["scores"], columns=expected.columns)
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False, rtol=1e-12)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), expected, check_dtype=False, rtol=1e-12)
    assert found["summary"]["energy_distance"] == pytest.approx(expected["energy_distance"].mean())
    assert ("des" in found["summary"], "jaccard" in found["summary"]) == (season == "vcc2025", season == "vcc2026")
