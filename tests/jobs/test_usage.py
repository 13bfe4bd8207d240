"""What the processes of a job take of the machine: its GPUs, as the driver tells of them."""

from pathlib import Path

import pytest

from vccapp.jobs.usage import USAGE, Usage, read_usage, sample_gpus


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for nvidia-smi: prints the file beside it, and keeps what it was asked."""
    folder = tmp_path / "driver"
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\ncat {folder}/told\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_the_gpus_of_a_job_are_sampled(driver: Path, tmp_path: Path) -> None:
    (driver / "told").write_text("50, 1024\n100, 2048\n")
    Usage(tmp_path, gpus=("0", "3")).sample()
    [row] = read_usage(tmp_path / USAGE).to_dict("records")
    assert (row["gpu_percent"], row["gpu_bytes"]) == (75.0, 3 * 2**30)
    assert "--id=0,3" in (driver / "asked").read_text().split()


def test_a_job_without_gpus_says_nothing_of_them(driver: Path, tmp_path: Path) -> None:
    (driver / "told").write_text("50, 1024\n")
    Usage(tmp_path).sample()
    frame = read_usage(tmp_path / USAGE)
    assert len(frame) == 1 and frame[["gpu_percent", "gpu_bytes"]].isna().all(axis=None)
    assert not (driver / "asked").exists()


@pytest.mark.parametrize("told", ["", "[N/A], [N/A]\n", "No devices were found\n"])
def test_a_driver_that_cannot_tell_is_no_error(told: str, driver: Path) -> None:
    (driver / "told").write_text(told)
    assert sample_gpus(("0",)) == {}
