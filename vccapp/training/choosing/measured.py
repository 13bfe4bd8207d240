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


@lru_cache(maxsize=1)
def load_measured() -> pd.DataFrame:
    """data, simulated, model, splits, train, test; of each score its mean over splits, `_se`, `_gain`, `_gain_se`.

    gain : the difference from the perturbation mean on the same splits; se : standard errors over splits
    """
    return pd.read_csv(TABLE)


def describe_measured(model: str, measured: pd.DataFrame) -> str:
    """On how many data sets a model was above, within one standard error of, and below the perturbation mean."""
    own = measured[measured["model"] == model].dropna(subset=[f"{METRIC}_gain"])
    if own.empty or not own[f"{METRIC}_gain_se"].any():
        return ""
    gain, error = own[f"{METRIC}_gain"], own[f"{METRIC}_gain_se"]
    above, below = int((gain > error).sum()), int((gain < -error).sum())
    return (
        f"On {len(own)} small data set{'s' * (len(own) > 1)} (at most {own['train'].max()} training perturbations) "
        f"its {METRIC_LABEL} was above the perturbation mean's on {above}, within a standard error of it "
        f"on {len(own) - above - below}, below on {below}."
    )
