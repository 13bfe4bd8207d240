"""Where networks train."""

import torch
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.neural.fitting.device import choose_device


def test_an_absent_device_is_told() -> None:
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with refusal(SpecError, "no_gpu"):
            choose_device("cuda")
