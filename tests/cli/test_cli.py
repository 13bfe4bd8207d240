"""The command line, as programs and people meet it: the whole path, its refusals, and how quickly it answers."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import BAD_INPUTS
from places import ROOT
from rich.text import Text
from toy import make_counts

import vccapp
from vccapp.cli import following, main
from vccapp.cli.output import format_table
from vccapp.jobs.job import ACTIVE
from vccapp.tasks.index import Index

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a toy file beside it, not yet indexed."""
    folder = tmp_path_factory.mktemp("cli")
    make_counts(n_perturbations=8).write_h5ad(folder / "toy.h5ad")
    return folder


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Call:
    """Run a command in that workspace: exit code, standard output, standard error."""
    monkeypatch.setenv("VCCAPP_HOME", str(home / "workspace"))
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", str(home / "checkpoints"))
    monkeypatch.setenv("VCCAPP_DATA_ROOTS", str(home))

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def ask(call: Call) -> Callable[..., Any]:
    """Run a command with --json that must end well; what it printed."""

    def run(*words: object) -> Any:
        code, out, err = call(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def test_the_version_is_that_of_the_package(call: Call) -> None:
    assert call("--version") == (0, f"vccapp {vccapp.__version__}\n", "")


def test_a_shell_completes_commands(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_VCCAPP_COMPLETE": "complete_bash", "COMP_WORDS": "vccapp data de", "COMP_CWORD": "2"}.items():
        monkeypatch.setenv(name, value)
    assert call()[1].split() == ["describe", "demo"]


@pytest.mark.slow
def test_the_path_from_file_to_scores(home: Path, call: Call, ask: Callable[..., Any]) -> None:
    toy = home / "toy.h5ad"
    described = ask("data", "describe", toy)
    assert (described["n_cells"], described["perturbation_column"]) == (300, "target_gene")
    assert not (home / "workspace").exists()

    dataset = ask("data", "index", toy)["dataset"]
    assert dataset == described["fingerprint"]
    assert [record["fingerprint"] for record in ask("data", "list")["datasets"]] == [dataset]

    [split] = ask("split", "make", toy, "--name", "s", "--ratio", 0.5, 0.25, 0.25, "--seed", 1)
    assert (len(split["train"]), len(split["val"]), len(split["test"])) == (4, 2, 2)
    folds = ask("split", "make", dataset[:6], "--name", "fold", "--folds", 4)
    assert sorted(label for fold in folds for label in fold["test"]) == sorted(f"GENE{i}" for i in range(8))
    [listed] = ask("split", "make", dataset, "--name", "by-hand", "--val", "GENE1", "--test", "GENE2,GENE3")
    assert (listed["val"], listed["test"], len(listed["train"])) == (["GENE1"], ["GENE2", "GENE3"], 5)
    assert len(ask("split", "list", "--dataset", dataset)["splits"]) == 6
    assert ask("split", "show", "s") == split
    ask("split", "export", "s", home / "s.toml")
    assert all(label in (home / "s.toml").read_text() for label in split["test"])

    run = ask("train", "start", "knockdown_mean", "--split", "s", "--set", "min_control_mean=0.01", "--title", "first")
    assert run["state"] == "finished" and run["spec"]["params"] == {"min_control_mean": 0.01}
    assert [r["id"] for r in ask("train", "list")["runs"]] == [run["id"]]
    assert ask("train", "status", run["id"])["run"] == ask("train", "status")["run"] == run
    assert "end: succeeded" in ask("train", "logs")["log"]

    compared = ask("eval", "compare", "--run", run["id"], "--part", "val", "--genes", "GENE1,GENE9")
    assert compared["summary"]["mae"] == pytest.approx(run["metrics"]["val"]["knockdown_mean"]["mae"])
    assert [row["perturbation"] for row in compared["scores"]] == split["val"]
    assert [row["gene"] for row in compared["genes"]] == ["GENE1", "GENE9"] * 2
    only = ask("eval", "compare", "--perturbations", split["test"][1])
    assert [row["perturbation"] for row in only["scores"]] == [split["test"][1]]

    refused = ("train", "start", "knockdown_mean", "--split", "s", "--set", "min_control_mean=99")
    code, out, err = call(*refused)
    assert (code, out) == (2, "") and "Error: None of the 4 training perturbations" in err
    assert ask("train", "status")["run"] == run  # nothing was begun
    assert ask("eval", "compare")["run"] == run["id"]

    plan = ask("submit", "plan", "--practice", "--controls", 20, "--name", "first")
    assert plan["sources"][""]["run"] == run["id"] and set(plan["cells"]) == set(split["test"])
    report = ask("submit", "build", "first")
    assert {found["status"] for found in report["checks"]} <= {"ok", "warning", "skipped"}
    vcc = Path(report["folder"]) / report["package"]["path"]
    assert vcc.stat().st_size == report["package"]["size"]
    checked = {found["name"]: found["status"] for found in ask("submit", "check", vcc, "--practice")}
    assert checked["archive"] == "ok"
    code, out, _ = call("submit", "check", vcc)
    assert code == 1 and "failed" in out
    [listed] = ask("submit", "list")["submissions"]
    assert (listed["id"], listed["run"], listed["package"]) == ("first", run["id"], str(vcc))

    jobs = ask("jobs", "list")
    assert [job["task"] for job in jobs] == ["build", "train", "index"]
    assert ask("jobs", "show", jobs[-1]["id"])["result"] == {"dataset": dataset}
    assert ask("train", "stop", run["id"])["state"] == "succeeded"

    for words in (
        ("data", "describe", toy),
        ("data", "list"),
        ("split", "list"),
        ("split", "show", "s"),
        ("train", "list"),
        ("train", "status"),
        ("train", "logs"),
        ("eval", "compare", "--genes", "GENE1"),
        ("submit", "plan", "--practice", "--controls", 20, "--name", "first"),
        ("submit", "list"),
        ("jobs", "list"),
        ("jobs", "show", "latest"),
    ):
        code, out, err = call(*words)
        assert code == 0 and err == "" and len(out.splitlines()) > 1, words


@pytest.mark.slow
def test_several_files_are_one_dataset(home: Path, ask: Callable[..., Any]) -> None:
    paths = [home / "first.h5ad", home / "second.h5ad"]
    for seed, path in enumerate(paths):
        make_counts(n_cells=120, n_genes=40, seed=seed).write_h5ad(path)
    assert ask("data", "describe", *paths)["n_cells"] == 240
    dataset = ask("data", "index", *paths)["dataset"]
    [listed] = [record for record in ask("data", "list")["datasets"] if record["fingerprint"] == dataset]
    assert (listed["cells"], listed["title"], listed["indexed"]) == (240, "first, second", True)


def test_ctrl_c_stops_the_job(home: Path, call: Call, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = following.time.sleep

    def press_once(seconds: float) -> None:
        monkeypatch.setattr(following.time, "sleep", sleep)
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", press_once)
    code, out, err = call("data", "demo")
    assert code == 130 and out == "" and "stopped" in err
    assert ask("jobs", "show", "latest")["state"] == "stopped"


def test_a_job_in_the_background_is_printed_and_can_be_stopped(ask: Callable[..., Any]) -> None:
    job = ask("data", "demo", "--background")
    assert job["task"] == "demo" and job["state"] in {"queued", "starting", "running"}
    shown = ask("jobs", "show", job["id"])
    if shown["state"] in ACTIVE:
        assert shown["command"] == ["vccapp", "data", "demo"] and shown["needs"]["memory_bytes"] > 0
    assert ask("jobs", "stop", job["id"])["state"] in {"stopping", "stopped"}


def test_a_command_starts_after_a_job_that_must_have_succeeded(call: Call, ask: Callable[..., Any]) -> None:
    before = ask("data", "demo", "--background")
    job = ask("data", "demo", "--background", "--after", before["id"])
    assert job["after"] == [before["id"]] and job["state"] == "queued"
    ask("queue", "stop-all")
    code, _, err = call("data", "demo", "--background", "--after", "20200101-000000-abcdef", "--json")
    assert code == 2 and json.loads(err.strip().splitlines()[-1])["code"] == "unknown_job"


def test_whatever_starts_in_the_background_can_come_after_a_job() -> None:
    from typer.main import get_command

    from vccapp.cli import app

    def commands(group: Any) -> list[Any]:
        below = getattr(group, "commands", None)
        return [group] if below is None else [own for one in below.values() for own in commands(one)]

    options = [{name for option in one.params for name in option.opts} for one in commands(get_command(app))]
    assert sum("--background" in own for own in options) > 10
    without = [own for own in options if "--background" in own and "--after" not in own]
    assert len(without) == 1  # a sweep that goes on has begun already


def test_simulate(tmp_path: Path, ask: Callable[..., Any]) -> None:
    out, counts, genes = tmp_path / "cells.h5ad", tmp_path / "counts.csv", tmp_path / "genes.csv"
    counts.write_text("target_gene,n_cells\nB,20\nnon-targeting,30\n")
    genes.write_text("\n".join("ABCDEFGHIJ"))
    found = ask("data", "simulate", out, "--counts", counts, "--genes", genes, "--set", "n_batches=2", "--seed", 3)
    assert found["spec"]["perturbations"] == {"B": 20, "non-targeting": 30} and found["spec"]["n_batches"] == 2
    described = ask("data", "describe", out)
    assert (described["n_cells"], described["n_genes"], described["n_control_cells"]) == (50, 10, 30)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data", "describe", "none.h5ad"), "none.h5ad"),
        (("data", "index", "none.h5ad"), "none.h5ad"),
        (("data", "simulate", "x.txt"), ".h5ad"),
        (("data", "simulate", "x.h5ad", "--set", "nonsense"), "NAME=VALUE"),
        (("data", "simulate", "x.h5ad", "--counts", "none.csv"), "none.csv"),
        (("data", "simulate", "x.h5ad", "--counts", "none.csv", "--cells", "9"), "leave out --cells"),
        (("split", "make", "none", "--name", "x"), "There is no dataset 'none'"),
        (("split", "show", "none"), "none"),
        (("train", "start", "perturbation_mean", "--split", "none"), "none"),
        (("train", "status", "none"), "no run 'none'"),
        (("train", "logs", "none"), "no run 'none'"),
        (("eval", "compare", "--run", "none"), "no run 'none'"),
        (("eval", "compare"), "no run is finished"),
        (("submit", "plan", "--run", "none"), "no run 'none'"),
        (("submit", "build", "none"), "none"),
        (("submit", "check", "none.h5ad"), "none.h5ad"),
        (("submit", "check", "none.h5ad", "--season", "x"), "no season called 'x'"),
        (("jobs", "show", "none"), "no job 'none'"),
    ],
)
def test_wrong_words_are_one_sentence_and_exit_code_2(
    words: tuple[str, ...], message: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCCAPP_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("VCCAPP_CHECKPOINTS", str(tmp_path / "checkpoints"))
    code, out, err = call(*words)
    assert (code, out) == (2, "") and err.startswith("Error: ") and message in err
    assert len(err.splitlines()) == 1
    code, out, err = call(*words, "--json")
    assert (code, out) == (2, "") and message in json.loads(err)["error"] and json.loads(err)["code"]
    assert {path.name for path in tmp_path.rglob("*")} <= {"workspace", "jobs.db", "jobs.db-journal"}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_every_bad_input_is_refused_in_one_sentence(
    name: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, columns = BAD_INPUTS[name](tmp_path)
    for variable, folder in (("VCCAPP_HOME", "workspace"), ("VCCAPP_CHECKPOINTS", "checkpoints")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    before = {found: found.lstat().st_mtime_ns for found in tmp_path.rglob("*")}
    code, out, err = call(*Index(paths=(path,), columns=columns).command()[1:])
    assert (code, out) == (2, "")
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert {found: found.lstat().st_mtime_ns for found in tmp_path.rglob("*")} == before


def test_a_wrong_setting_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_JOBS", "many"), ("MEMORY_GB", "abc"), ("DEVICE", "gpu")):
        with monkeypatch.context() as patch:
            patch.setenv(f"VCCAPP_{name}", value)
            code, out, err = call("jobs", "list")
        assert (code, out, len(err.splitlines())) == (2, "", 1) and f"VCCAPP_{name} is '{value}'" in err


def test_help_is_quick_because_it_loads_no_layer() -> None:
    code = (
        "import sys\nfrom vccapp.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "train" in done.stdout
    assert not {"numpy", "pandas", "pydantic", "scipy", "h5py", "psutil"} & set(done.stderr.split())


def test_python_m_vccapp_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "vccapp", "train", "stop", "--help"], capture_output=True, cwd=ROOT)
    assert done.returncode == 0 and b"vccapp train stop" in done.stdout


def test_tables_are_aligned() -> None:
    rows = [{"name": "a", "n": 1200, "x": 0.5}, {"name": "bcd", "n": None, "x": float("nan")}]
    assert format_table(rows, ("name", "n", "x")).splitlines() == [
        "name      n    x",
        "a     1,200  0.5",
        "bcd       -    -",
    ]
    assert format_table([], ("name",)) == "(none)"


def test_a_table_in_a_terminal_is_no_wider_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "[red] two words", "note": "a long note " * 5, "n": 1200}]
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout", Terminal())
    text = Text.from_ansi(format_table(rows, ("name", "note", "n"))).plain
    assert max(map(len, text.splitlines())) <= 40 and len(text.splitlines()) > 3
    assert "[red]" in text and "1,200" in text and text.count("note") == 6


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_in_a_file_is_a_line_a_percent(capsys: pytest.CaptureFixture[str]) -> None:
    for cells in (120, 240, 4_000, 4_100, 20_000):
        following.show_progress(cells / 20_000, f"{cells:,} cells")
    assert capsys.readouterr().err.splitlines() == ["  1%  120 cells", " 20%  4,000 cells", "100%  20,000 cells"]
