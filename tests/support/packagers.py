"""The official packagers as oracles: which of many files each would take, asked in one process of its own.

judge_by("vcc2025", files, genes=GENES)         # names of the files that `cell-eval prep` takes
judge_by("vcc2026", files, genes=GENES, targets=TARGETS, contexts=CONTEXTS, limits={...})

`cell-eval` is imported in the tests' own Python, `vcc` in that beside the program at VCCAPP_VCC (or on the PATH).
A file that ends the packager's process counts as refused, and the next process goes on after it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PREP = """
import argparse, warnings
import cell_eval._cli._prep as prep
prep._validate_tools_in_path = lambda: True
prep.subprocess = type("Nothing", (), {"run": staticmethod(lambda *words, **options: None)})  # packing is not judged
parser = argparse.ArgumentParser()
prep.parse_args_prep(parser)
def judge(path):
    prep.run_prep(parser.parse_args(["-i", path, "-g", asked["genes"], "-o", path + ".vcc"]))
"""
DRY_RUN = """
from vcc.prep import run_prep
def judge(path):
    run_prep(input_path=path, genes_path=asked["genes"], perts_path=asked["targets"],
             required_contexts=tuple(asked["contexts"]), dry_run=True, **asked["limits"])
"""
LOOP = """
import json, logging, sys, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
asked = json.loads(sys.argv[1])
exec(sys.argv[2])
for path in sys.argv[3:]:
    print(json.dumps(["begun", path]), flush=True)
    try:
        judge(path)
        print(json.dumps(["taken", path]), flush=True)
    except Exception:
        print(json.dumps(["refused", path]), flush=True)
"""


def python_of(season: str) -> str | None:
    """The interpreter that has the packager; None where there is none."""
    if season == "vcc2025":
        done = subprocess.run([sys.executable, "-c", "import cell_eval"], capture_output=True, check=False)
        return sys.executable if done.returncode == 0 else None
    program = os.environ.get("VCCAPP_VCC") or shutil.which("vcc")
    python = None if program is None else Path(program).parent / "python"
    return str(python) if python is not None and python.exists() else None


def judge_by(
    season: str,
    files: Mapping[str, Path],
    folder: Path,
    *,
    genes: Sequence[str],
    targets: Sequence[str] = (),
    contexts: Sequence[str] = (),
    limits: Mapping[str, int] | None = None,
) -> set[str]:
    """Names of the files that the packager of a season takes. limits : further arguments of vcc's `run_prep`"""
    (folder / "genes.csv").write_text("\n".join(genes) + "\n")
    (folder / "targets.csv").write_text("\n".join(["target_gene", *targets]) + "\n")
    asked = {
        "genes": str(folder / "genes.csv"),
        "targets": str(folder / "targets.csv"),
        "contexts": list(contexts),
        "limits": dict(limits or {}),
    }
    code = {"vcc2025": PREP, "vcc2026": DRY_RUN}[season]
    names, left, taken = {str(path): name for name, path in files.items()}, [str(p) for p in files.values()], set()
    while left:
        words = [python_of(season), "-c", LOOP, json.dumps(asked), code, *left]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
        assert said, done.stderr[-2000:]
        taken |= {names[path] for verdict, path in said if verdict == "taken"}
        left = left[left.index(said[-1][1]) + 1 :]
    return taken
