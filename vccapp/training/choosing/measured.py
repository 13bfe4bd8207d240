"""What each model did in our measurements: assets/measured.csv, which tools/build_measured.py makes of the results.

measured = load_measured()                    # a row a model and data set
describe_measured("ridge", measured)          # in a sentence; empty for a model that was not measured
"""

from functools import lru_cache

import pandas as pd

from vccapp.data.places import ASSETS

METRIC = "pearson_delta"
METRIC_LABEL = "Pearson of deltas"
TABLE = ASSETS / "measured.csv"
LEVEL = 0.05


@lru_cache(maxsize=1)
def load_measured() -> pd.DataFrame:
    """data, simulated, model, train, tested; of each score its mean over what was tested, `_se`, `_gain` and `_p`.

    gain : the mean difference from the floor, the mean with knock-down or without, on the same perturbations
    p : of that difference, paired, corrected for the number of models
    """
    return pd.read_csv(TABLE)


def count_gains(measured: pd.DataFrame) -> tuple[int, int, int]:
    """On how many data sets a model was measured against the floor, lay above it, and below it, by more than chance."""
    known = measured.dropna(subset=[f"{METRIC}_gain"])
    sure = known[known[f"{METRIC}_p"] < LEVEL][f"{METRIC}_gain"]
    return len(known), int((sure > 0).sum()), int((sure < 0).sum())


def describe_measured(model: str, measured: pd.DataFrame) -> str:
    """On how many data sets a model was above and below the floor; empty where it was not compared with it."""
    own = measured[measured["model"] == model]
    n, above, below = count_gains(own)
    if not n:
        return ""
    return (
        f"On {n} small data set{'s' * (n > 1)} (at most {own['train'].max()} training perturbations) its "
        f"{METRIC_LABEL} was above that of the floor, the mean that knows nothing of the target, on {above}, "
        f"below on {below}, and not to be told apart on {n - above - below}."
    )
