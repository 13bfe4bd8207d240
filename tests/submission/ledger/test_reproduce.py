"""A submission is made again byte by byte, and each piece that is gone, changed or of another version is named."""

import json
import shutil
from pathlib import Path

import pytest
from refusals import refusal

from vccapp.errors import DataError, SpecError
from vccapp.settings import Settings
from vccapp.submission.ledger.entry import delete_kept, record_sent
from vccapp.submission.ledger.listing import find_submission
from vccapp.submission.ledger.reproduce import BLOCKING, examine, reproduce


def states(settings: Settings, id: str = "first") -> dict[str, str]:
    return {piece.what: piece.status for piece in examine(find_submission(id, settings), settings)}


def lost(settings: Settings) -> dict[str, str]:
    return {what: status for what, status in states(settings).items() if status in BLOCKING}


@pytest.mark.slow
def test_every_byte_is_the_same(desk: Settings, tmp_path: Path) -> None:
    before = (desk.submissions / "first" / "first.vcc").read_bytes()
    found = reproduce("first", desk, output=tmp_path / "again.vcc")
    assert found.same and (tmp_path / "again.vcc").read_bytes() == before
    assert {piece.status for piece in found.pieces} == {"same"}
    assert {"season", "gene list", "data", "index", "model", "numpy", "HDF5", "zstd"} <= {p.what for p in found.pieces}
    assert [path.name for path in desk.submissions.iterdir() if not path.name.startswith(".")] == ["first"]
    with refusal(SpecError, "output_exists"):
        reproduce("first", desk, output=tmp_path / "again.vcc")


def test_from_the_record_alone(desk: Settings) -> None:
    """The submission was deleted: the ledger knows what made it."""
    record = find_submission("first", desk).package
    assert delete_kept("first", desk) > 0 and not (desk.submissions / "first").exists()
    found = reproduce("first", desk)
    assert found.same and found.package.sha256 == record.sha256


def test_what_was_sent_is_made_again_not_what_was_built_since(desk: Settings) -> None:
    sent = record_sent("first", desk).sent[0].report.package
    report = desk.submissions / "first" / "report.json"
    fields = json.loads(report.read_text())
    fields["package"]["sha256"] = "0" * 64
    report.write_text(json.dumps(fields))
    one = find_submission("first", desk)
    assert "built again" in one.note and one.package == sent
    assert reproduce("first", desk).same


def test_a_record_that_says_another_checksum(desk: Settings) -> None:
    report = desk.submissions / "first" / "report.json"
    fields = json.loads(report.read_text())
    fields["package"]["sha256"] = "0" * 64
    fields["versions"]["numpy"] = "1.0"
    report.write_text(json.dumps(fields))
    found = reproduce("first", desk)
    assert not found.same and "differs" in found.told and "numpy" in found.told


def test_a_run_that_was_deleted(desk: Settings) -> None:
    shutil.rmtree(desk.checkpoints / "one")
    assert lost(desk) == {"run": "gone"}
    with refusal(DataError, "not_reproducible"):
        reproduce("first", desk)


def test_weights_that_changed(desk: Settings) -> None:
    shutil.rmtree(desk.checkpoints / "one" / "model")
    shutil.copytree(desk.checkpoints / "two" / "model", desk.checkpoints / "one" / "model")
    assert lost(desk) == {"model": "changed"}


def test_data_that_are_gone_or_changed(own_data: tuple[Settings, Path]) -> None:
    settings, file = own_data
    assert lost(settings) == {}
    file.rename(file.with_suffix(".away"))
    assert lost(settings) == {"data": "gone"}
    from toy import make_counts

    make_counts(n_perturbations=8, seed=5).write_h5ad(file)
    assert lost(settings) == {"data": "changed"}


def test_all_that_is_gone_is_in_one_list(desk: Settings) -> None:
    [dataset] = desk.datasets.iterdir()
    shutil.rmtree(dataset / "index")
    (dataset / "dataset.json").unlink()
    shutil.rmtree(desk.checkpoints / "one")
    assert lost(desk) == {"data": "gone", "index": "gone", "run": "gone"}
    with refusal(DataError, "not_reproducible") as error:
        reproduce("first", desk)
    assert {piece["what"] for piece in error.value.found} == {"data", "index", "run"}


def test_an_index_of_other_cells(desk: Settings) -> None:
    import numpy as np

    [path] = desk.datasets.glob("*/index/scaling.npy")
    np.save(path, np.load(path) * 2)
    assert lost(desk) == {"index": "changed"}


def test_a_package_of_another_version_is_told_and_may_not_matter(desk: Settings) -> None:
    for name, where in (("made.json", ["versions"]), ("report.json", ["made", "versions"])):
        path = desk.submissions / "first" / name
        fields = json.loads(path.read_text())
        at = fields
        for key in where:
            at = at[key]
        at["scipy"] = "0.1"
        path.write_text(json.dumps(fields))
    [piece] = [p for p in examine(find_submission("first", desk), desk) if p.what == "scipy"]
    assert piece.status == "other" and piece.recorded.startswith("0.1") and piece.fix
    assert reproduce("first", desk).same


def test_a_record_of_an_older_version_says_what_it_does_not_know(desk: Settings) -> None:
    path = desk.submissions / "first" / "report.json"
    fields = json.loads(path.read_text())
    fields.pop("made")
    path.write_text(json.dumps(fields | {"version": 2}))
    found = reproduce("first", desk)
    assert found.same
    unknown = {piece.what for piece in found.pieces if piece.status == "unknown"}
    assert unknown == {"season", "gene list", "index", "model"}


@pytest.mark.parametrize(("change", "code"), [("report.json", "not_packaged"), ("", "unknown_submission")])
def test_what_was_never_packaged(desk: Settings, change: str, code: str) -> None:
    if change:
        (desk.submissions / "first" / change).unlink()
    with refusal(SpecError if change else DataError, code):
        reproduce("first" if change else "absent", desk)
