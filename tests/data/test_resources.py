import shutil
from pathlib import Path

import pytest

from vccapp.data.resources import require_disk
from vccapp.errors import ResourceError


def test_what_does_not_fit_is_refused_with_both_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(9000, 6000, 3000))
    require_disk(tmp_path, 3000, purpose="The index")
    with pytest.raises(ResourceError) as caught:
        require_disk(tmp_path, 3001, purpose="The index", fix="write less")
    assert (caught.value.code, caught.value.found, caught.value.fix) == ("disk", 3000, "write less")
    assert all(text in caught.value.problem for text in ("The index", "3 kB", str(tmp_path)))
