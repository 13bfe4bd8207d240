"""What a child process is asked to do in the tests of vccapp.data.stores.bounded."""

import os
import time

from vccapp.errors import DataError


def take(n_bytes: int) -> int:
    return len(bytearray(n_bytes))


def refuse() -> None:
    raise DataError("no_x", "It has no X", fix="write it")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def die() -> None:
    os._exit(3)
