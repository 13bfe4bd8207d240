"""What a network of the official program takes and knows, as JSON. Run by the Python of its environment.

    python -P describe.py FOLDER

The folder of a training holds pickles, which may run any code: they are opened in that process alone, as the program
itself opens them, and never in one of ours. So this file imports nothing of vccapp.
"""

import json
import pickle
import sys
from pathlib import Path
from typing import Any


def describe(folder: Path) -> dict[str, Any]:
    import torch
    import yaml  # type: ignore[import-untyped]  # of that environment

    settings = yaml.safe_load((folder / "config.yaml").read_text())["data"]["kwargs"]
    with (folder / "var_dims.pkl").open("rb") as file:
        genes = pickle.load(file)["gene_names"]
    rows = torch.load(folder / "pert_onehot_map.pt", map_location="cpu", weights_only=False)
    return {
        "inputs": settings["embed_key"],
        "space": settings["output_space"],
        "control": settings["control_pert"],
        "genes": [str(gene) for gene in genes],
        "perturbations": [str(name) for name in rows],
    }


if __name__ == "__main__":
    print(json.dumps(describe(Path(sys.argv[1]))))
