"""What every benchmark shares: data to run on, a contender in a process of its own, a table, a results file.

A benchmark script holds CONTENDERS, name -> function(file, scratch) -> figures, and calls `run_child` when it is
started with --contender. There the function runs once on a tiny file, so that imports and compilation are not in the
time, then timed on the file. Peak memory is that of the whole child, by wait4. The parent imports nothing heavy: a
child's peak begins with the pages of the process that started it.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"
TOOLS = RESULTS.parents[1] / "tools"
Contender = Callable[[Path, Path], dict[str, Any] | None]


def measure(command: Sequence[str]) -> dict[str, Any]:
    """Run a command to its end: times of the process, peak_bytes, load_after of the machine, and what it printed.

    Where the command fails, `failed` is the last line of its error.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(list(command), stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        found = {
            "process_seconds": time.perf_counter() - start,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * 1024,
            "load_after": os.getloadavg()[0],
        }
        out.seek(0), err.seek(0)
        if child.returncode == 0:
            return found | {"printed": out.read().decode()}
        lines = err.read().decode(errors="replace").strip().splitlines()
        return found | {"failed": f"exit {child.returncode}: {lines[-1] if lines else 'nothing said'}"}


def measure_contender(script: Path, name: str, *, file: Path, tiny: Path, scratch: Path) -> dict[str, Any]:
    """seconds (of the timed call), peak_bytes and the contender's own figures, or `failed`. The file is cold."""
    print(f"  {name} ...", file=sys.stderr, flush=True)
    forget(file)
    found = measure([sys.executable, str(script), "--contender", name, str(file), str(tiny), str(scratch)])
    printed = found.pop("printed", None)
    return found if printed is None else found | json.loads(printed.splitlines()[-1])


def forget(file: Path) -> None:
    """Drop a file from the page cache."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_child(contenders: Mapping[str, Contender], arguments: Sequence[str]) -> None:
    """The child's side: warm up on the tiny file, time the real one, print the figures as the last line."""
    name, file, tiny, scratch = arguments[0], *map(Path, arguments[1:4])
    for folder, path in (("warm", tiny), (name.replace(" ", "_"), file)):
        (scratch / folder).mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        figures = contenders[name](path, scratch / folder) or {}
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds} | figures))


def run_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a process of its own, so that this one stays small."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def pick_best(runs: Mapping[str, Sequence[dict[str, Any]]], *, reference: str) -> dict[str, dict[str, Any]]:
    """The quickest run of each contender, with the highest peak of its runs. Exits when the reference failed."""
    best = {}
    for name, found in runs.items():
        best[name] = dict(min(found, key=lambda run: run.get("seconds", float("inf"))))
        best[name]["peak_bytes"] = max(run["peak_bytes"] for run in found)
    if "failed" in best[reference]:
        sys.exit(f"{reference} failed, so there is nothing to compare with: {best[reference]['failed']}")
    return best


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=18_080, help="without --like-tables")
    parser.add_argument("--perturbations", type=int, default=40)
    parser.add_argument("--like-tables", type=Path, nargs="+", help="folders of tables of real data to imitate")
    parser.add_argument("--file", type=Path, help="run on this file of counts instead of a simulated one")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "vccapp-benchmarks")


def make_data(choice: argparse.Namespace) -> tuple[Path, Path]:
    """The simulated file that the arguments ask for, and a tiny one; made once, then found in --cache."""
    kind = "twin" if choice.like_tables else f"{choice.genes}"
    file = choice.file or choice.cache / f"cells_{choice.cells}_{kind}_{choice.perturbations}.h5ad"
    tiny = choice.cache / f"tiny_{kind}_{choice.perturbations}.h5ad"
    for path, n_cells in ((file, choice.cells), (tiny, 15 * (choice.perturbations + 1))):
        if not path.exists():
            print(f"simulating {path} ...", file=sys.stderr, flush=True)
            run_apart(_simulate, path, n_cells, choice.genes, choice.perturbations, choice.like_tables)
    return file, tiny


def _simulate(path: Path, n_cells: int, n_genes: int, n_perturbations: int, folders: list[Path] | None) -> None:
    from dataclasses import replace

    from vccapp.data.simulation.experiment import SimulationSpec
    from vccapp.data.simulation.simulate import simulate

    if folders is None:
        spec = {"n_genes": n_genes, "n_perturbations": n_perturbations, "median_umis": 50_000, "n_batches": 48}
        simulate(SimulationSpec(n_cells=n_cells, **spec), path)
        return
    sys.path.append(str(TOOLS))
    from twin import read_tables, simulate_twin

    tables, kept = read_tables(*folders), slice(n_perturbations + 1)
    tables = replace(tables, perturbations=tables.perturbations[kept], cells=tables.cells[kept], degs=tables.degs[kept])
    simulate_twin(SimulationSpec(n_cells=n_cells), path, tables)


def describe_machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Machine, versions and date, for the results file."""
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def describe(choice: argparse.Namespace, file: Path, packages: Sequence[str]) -> dict[str, Any]:
    """Machine, versions, date and data, for the results file."""
    data = {"name": file.name, "bytes": file.stat().st_size, "imitates_tables": bool(choice.like_tables)}
    return describe_machine(packages) | {"file": data}


def print_table(rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """One line a contender; columns: key of a figure -> its heading. GB for bytes, 'x' for ratios."""
    width = max(map(len, rows))
    print(" " * width, *(f"{heading:>16}" for heading in columns.values()))
    for name, row in rows.items():
        cells = [f"{_format(key, row.get(key)):>16}" for key in columns]
        print(f"{name:{width}}", *cells, f"  {row['failed']}" if "failed" in row else "")


def _format(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if key.endswith("bytes"):
        return f"{value / 1e9:.2f} GB"
    return f"{value:.1f} s" if key.endswith("seconds") else f"{value:.2f}"


def write_results(name: str, result: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
