"""Where a network trains, and in which precision its products are."""

import torch

from vccapp.errors import SpecError
from vccapp.neural.fitting.estimate import Precision, has_bfloat16


def choose_device(device: str) -> torch.device:
    """ "auto" is CUDA where there is one. Raises SpecError when CUDA is asked for and there is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SpecError(
            "no_gpu",
            f"The device '{device}' is not available: torch finds no CUDA GPU on this machine",
            fix="use cpu",
        )
    return torch.device(device)


def multiplies_bfloat16(device: torch.device, precision: Precision) -> bool:
    """Whether products are to be in bfloat16, which is quicker on some devices."""
    return precision == "auto" and (device.type == "cuda" or has_bfloat16())
