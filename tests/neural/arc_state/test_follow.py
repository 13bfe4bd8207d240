"""The official program's log and metrics while they grow, why it ended, and the words of its overrides."""

import json
import math
from pathlib import Path

import pytest
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.neural.arc_state.command import parse_overrides
from vccapp.neural.arc_state.follow import LogReader, MetricsReader, find_nan
from vccapp.neural.arc_state.process import explain_end, last_words
from vccapp.neural.arc_state.work import split_wanted


def test_lines_come_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"one\nstep 1\rstep 2\rstep 3\nhal")
    reader = LogReader(path)
    assert list(reader.new_lines()) == ["one", "step 3"]
    with path.open("ab") as file:
        file.write(b"f\n\n\xff\n")
    assert list(reader.new_lines()) == ["half", "\ufffd"]
    assert list(reader.new_lines()) == []


def test_rows_come_once_though_the_table_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    reader = MetricsReader(path)
    assert reader.new_rows() == []
    path.write_text("epoch,step,train_loss\n0,0,2.5\n0,1,2.0\n0,2,1.")
    assert reader.new_rows() == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}]
    path.write_text(
        "epoch,step,train/l1_loss,train_loss,val_loss\n0,0,,2.5,\n0,1,,2.0,\n0,2,0.1,1.5,\n0,2,,,3\n0,3,,,\n"
    )
    assert reader.new_rows() == [{"step": 3, "train_l1_loss": 0.1, "loss": 1.5}, {"step": 3, "val_loss": 3.0}]
    assert reader.new_rows() == []


def test_losses_that_are_no_numbers_are_found(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,train_loss\n0,nan\n1,inf\n")
    first, second = MetricsReader(path).new_rows()
    assert math.isnan(first["loss"])
    assert find_nan(first) == find_nan(second) == "loss"
    assert find_nan({"step": 1, "loss": 2.0}) is None


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (1, "Traceback\nRuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "memory"),
        (1, "torch.OutOfMemoryError: CUDA out of memory.\n", "memory"),
        (1, "OSError: [Errno 28] No space left on device", "disk"),
        (-9, "step 3", "state_killed"),
        (-11, "", "state_crashed"),
        (1, "Could not override 'training.stepz'.", "state_failed"),
    ],
)
def test_an_end_is_told_by_its_cause(code: int, said: str, expected: str) -> None:
    assert explain_end(code, said, "state tx train").code == expected


def test_the_last_words_are_those_of_the_error() -> None:
    assert last_words("a\nKeyError: 'x'\n\rEpoch 0: 3%\r\nwandb: off\n") == "KeyError: 'x'"
    assert last_words("a\nwandb: off\n") == "wandb: off"
    assert last_words("") == "it said nothing"


def test_overrides_are_words_of_its_configuration() -> None:
    words = "model.kwargs.hidden_dim=256 +training.log=true model.kwargs.lora.r=8 training.lrx=1e-4"
    assert parse_overrides(words) == tuple(words.split())
    for bad in (
        "hidden_dim=256",
        "hydra.run.dir=x",
        "model.kwargs.a=/etc/passwd",
        "model.kwargs.a=[1,2]",
        "output_dir=x",
    ):
        with refusal(SpecError, "bad_override"):
            parse_overrides(bad)
    for taken in ("training.lr=1", "++training.lr=1", "model.kwargs.init_from=x"):
        with refusal(SpecError, "override_taken"):
            parse_overrides(taken)


def test_a_prediction_is_cut_where_memory_needs_it() -> None:
    wanted = [("A", 100), ("B", 100), ("C", 100)]
    most = (50 + 200) * 6 * 4 * 10
    assert split_wanted(wanted, n_controls=50, n_genes=10, memory_bytes=most) == [wanted[:2], wanted[2:]]
    assert split_wanted(wanted, n_controls=50, n_genes=10, memory_bytes=1) == [[one] for one in wanted]
    assert json.dumps(split_wanted([], n_controls=1, n_genes=1, memory_bytes=1)) == "[]"
