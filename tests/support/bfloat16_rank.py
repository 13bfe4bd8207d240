"""One of the processes that share a fit, on a CPU that is said to have products of bfloat16; others do them slowly.

python bfloat16_rank.py RANK RANKS REPORTS MEETING
"""

import runpy
import sys
from pathlib import Path

from vccapp.neural.fitting import estimate

FLAGS = Path(__file__).with_name("bfloat16_flags.txt")
"""As /proc/cpuinfo."""
COMMAND = (sys.executable, __file__)

if __name__ == "__main__":
    estimate.CPU_FLAGS = FLAGS
    runpy.run_module("vccapp.training.rank", run_name="__main__")
