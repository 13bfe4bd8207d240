"""What is told of this machine without torch."""

from pathlib import Path

import pytest
import torch

from vccapp.neural.fitting import estimate


@pytest.fixture(autouse=True)
def looked_up_anew() -> None:
    estimate.has_bfloat16.cache_clear()
    yield
    estimate.has_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "has"), [("fpu avx512_bf16 vnni", True), ("fpu amx_bf16", True), ("fpu avx512f amx_int8", False)]
)
def test_bfloat16_is_read_from_the_flags(
    flags: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: none\n")
    monkeypatch.setattr(estimate, "CPU_FLAGS", tmp_path / "cpuinfo")
    assert estimate.has_bfloat16() is has


def test_a_machine_that_says_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "CPU_FLAGS", tmp_path / "none")
    assert not estimate.has_bfloat16()


@pytest.mark.skipif(not estimate.CPU_FLAGS.exists(), reason="no Linux")
def test_it_is_what_torch_says() -> None:
    found = torch.cpu.get_capabilities()
    assert estimate.has_bfloat16() == bool(found.get("amx_bf16") or found.get("avx512_bf16"))
