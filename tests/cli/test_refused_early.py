"""Wrong values of a training are told by the command before a run or a job exists."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from toy import make_counts

from vccapp.cli import main
from vccapp.data.paths import LONGEST_NAME, user_path
from vccapp.errors import DataError, SpecError
from vccapp.jobs.store import JobStore
from vccapp.settings import open_settings
from vccapp.tasks.train import Train
from vccapp.training import RunSpec
from vccapp.training.sweeps.space import MAX_RUNS, parse_seeds, parse_values

LONG = "x" * (LONGEST_NAME + 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with a dataset and the splits `first`, and `bare`: no validation part, few to train on."""
    folder = tmp_path_factory.mktemp("early")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HOME": "workspace", "CHECKPOINTS": "checkpoints", "DATA_ROOTS": "."}.items():
            patch.setenv(f"VCCAPP_{name}", str(folder / value))
        patch.chdir(folder)
        make_counts(n_cells=300, n_genes=60, n_perturbations=12).write_h5ad("cells.h5ad")
        (folder / "few.csv").write_text("gene,a,b\nNOTHING,1,2\nNONE,2,1\n")
        (folder / "text.csv").write_text("gene,a\nGENE0,x\n")
        (folder / "empty.csv").write_text("")
        (folder / "some.csv").write_text("gene,a,b\n" + "".join(f"GENE{i},{i},{i % 3}\n" for i in range(40)))
        (folder / "folder").mkdir()
        assert call("data", "index", "cells.h5ad") == 0
        assert call("split", "make", "cells.h5ad", "--name", "first") == 0
        assert call("split", "make", "cells.h5ad", "--name", "bare", "--ratio", "0.5", "0", "0.5") == 0
        yield folder


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code or 0


EMBEDDINGS = [
    "missing.csv",
    "few.csv",
    "text.csv",
    "empty.csv",
    "folder",
    "default+",
    "+",
    "~nosuchuser/x.csv",
    LONG,
    "cells.h5ad",
]
BAD = [
    *[(model, f"embedding={value}") for model in ("ridge", "knn", "scouter", "state") for value in EMBEDDINGS],
    *[("ensemble", f"embedding={value}") for value in ("missing.csv", "text.csv", "+")],
    *[
        ("ensemble", f"members={value}")
        for value in ("ridge", "ridge+ridge", "ridge+nothing", "ridge+ensemble", "+", "a")
    ],
    *[("scouter", f"baseline={value}") for value in ("nothing", "scouter", "state", "ridge+knn")],
    *[("state", f"baseline={value}") for value in ("nothing", "state")],
    *[("state", f"inputs={value}") for value in ("nothing", "X_pca", "../x")],
    *[("state", f"start={value}") for value in ("missing", "folder", "~nosuchuser/x", LONG)],
    *[
        ("state_checkpoint", f"folder={value}")
        for value in ("", "missing", "folder", "cells.h5ad", "~nosuchuser/x", LONG)
    ],
    *[("transfer", f"sources={value}") for value in ("", "missing", "folder", "~nosuchuser/x", LONG)],
    ("ridge", "nothing=1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["start", "grid"])
@pytest.mark.parametrize(("model", "value"), BAD)
def test_a_wrong_value_leaves_no_run(
    verb: str, model: str, value: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", verb, model, "--split", "first", "--set", value) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("Error: ")
    assert len(told) < 400
    assert nothing_began(home)


def nothing_began(home: Path) -> bool:
    with JobStore(open_settings()) as store:
        trainings = store.find(task="train", limit=5)
    return not trainings and not list((home / "checkpoints").glob("*"))


@pytest.mark.slow
def test_what_a_model_needs_of_a_split(home: Path) -> None:
    assert call("train", "start", "ensemble", "--split", "bare") == 2
    assert nothing_began(home)


def test_a_device_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv("VCCAPP_DEVICE", "cuda")
    assert call("train", "start", "scouter", "--split", "first", "--set", "epochs=1") == 2
    assert nothing_began(home)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEVICE", "tpu"),
        ("MEMORY_GB", "inf"),
        ("MEMORY_GB", "nan"),
        ("MEMORY_GB", "-1"),
        ("MEMORY_GB", "1e300"),
        ("HOME", "~nosuchuser/x"),
        ("HOME", LONG),
        ("CHECKPOINTS", "~nosuchuser"),
        ("DATA_ROOTS", f"/tmp:{LONG}"),
        ("DATA_ROOTS", "~nosuchuser"),
        ("MAX_JOBS", "0"),
        ("DEVICES", "0"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"VCCAPP_{variable}", value)
    assert call("data", "list") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"VCCAPP_{variable}" in told


@pytest.mark.parametrize(
    "words",
    [
        ("split", "make", "", "--name", "x"),
        ("split", "make", "  ", "--name", "x"),
        ("split", "make", "cells.h5ad", "--name", ""),
        ("data", "describe", ""),
        ("data", "export", "", "out"),
        ("split", "list", "--dataset", ""),
        ("split", "list", "--dataset="),
        ("split", "show", ""),
        ("train", "start", "", "--split", "first"),
        ("train", "start", "ridge", "--split", ""),
        ("train", "start", "ridge", "--split", "first", "--set", ""),
        ("train", "status", ""),
        ("submit", "build", ""),
        ("jobs", "show", ""),
        ("eval", "compare", "--run", ""),
    ],
)
def test_an_empty_name_names_nothing(words: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words, "--json") == 2
    assert '"code": "empty_name"' in capsys.readouterr().err


def test_an_empty_title_is_one() -> None:
    assert call("train", "list", "--title", "") != 0  # no such option, which is not about the empty text
    assert call("glossary", "PDS") == 0


def test_seeds_that_are_none(home: Path) -> None:
    assert call("train", "start", "ridge", "--split", "first", "--seed", str(2**63)) == 2
    assert call("split", "make", "cells.h5ad", "--name", "x", "--seed", str(2**63)) == 2
    assert call("train", "grid", "ridge", "--split", "first", "--seeds", str(2**63)) == 2
    assert parse_seeds(str(2**63 - 1)) == [2**63 - 1]
    assert nothing_began(home)


def test_a_grid_is_capped_before_it_is_looked_through() -> None:
    with pytest.raises(SpecError, check=lambda error: error.code == "too_many_runs"):
        parse_seeds(",".join(map(str, range(100_000))))
    assert len(parse_values({"a": ",".join(map(str, range(MAX_RUNS)))})["a"]) == MAX_RUNS


def test_relative_paths_are_those_of_the_user(home: Path) -> None:
    def params(model: str, **given: str) -> dict[str, str]:
        return Train.of(RunSpec(model=model, params=given, dataset="0" * 16, split="first")).params

    assert params("ridge", embedding="some.csv") == {"embedding": str(home / "some.csv")}
    assert params("scouter", embedding="default + some.csv") == {"embedding": f"default+{home / 'some.csv'}"}
    assert params("state_checkpoint", folder="folder") == {"folder": str(home / "folder")}
    assert params("state", start="folder", embedding="default") == {
        "start": str(home / "folder"),
        "embedding": "default",
    }
    assert params("transfer", sources="folder,abc") == {"sources": f"{home / 'folder'},abc"}
    assert params("ridge", embedding="missing.csv") == {"embedding": "missing.csv"}


@pytest.mark.slow
def test_a_run_reads_an_embedding_of_the_users_folder(home: Path) -> None:
    assert call("train", "start", "ridge", "--split", "first", "--set", "embedding=some.csv") == 0


@pytest.mark.parametrize("text", ["~nosuchuser/x", "a\0b", LONG, "x/" * 3000])
def test_what_no_path_can_be(text: str) -> None:
    with pytest.raises(DataError, check=lambda error: error.code == "bad_path"):
        user_path(text)


def test_a_checkpoint_may_be_called_as_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vccapp.neural.state import convert

    asked = []
    monkeypatch.setattr(convert, "convert", lambda *paths, trusted: asked.append((paths, trusted)))
    convert.main(["--trust", "out"])
    convert.main(["run", "--trust"])
    convert.main(["run", "out", "--trust"])
    paths = (Path("--trust"), Path("out")), (Path("run"), Path("--trust")), (Path("run"), Path("out"))
    assert asked == [(paths[0], False), (paths[1], False), (paths[2], True)]
