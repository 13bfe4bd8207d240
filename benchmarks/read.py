"""Streaming a file against merely reading or inflating it, on one simulated file: plain, gzip and stored by gene.

    python benchmarks/read.py [FILE.h5ad] [--cells 20000] [--values 174000000] [--repeats 3]

FILE (CSR, uncompressed) is simulated when not given; its first `--values` values are copied to a gzip-4 and to a CSC
file. Every measurement is a process of its own with the compiled loops loaded (0.3 s a process), after one run that
fills the disk cache; the best of `--repeats` in turn counts. Bare reading is h5py's `read_direct` of X/data and
X/indices into one buffer, bare inflating is `zlib.decompress` (as HDF5 uses it) of all chunks on a thread a core.
Prints a table and writes results/read.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
from scipy.sparse import csr_matrix

from vccapp.data.matrices.rows import assemble
from vccapp.data.reading.matrix import open_rows
from vccapp.data.simulation.experiment import SimulationSpec
from vccapp.data.simulation.simulate import simulate

RESULT = Path(__file__).parent / "results" / "read.json"
BARE_VALUES = 2**24
BLOCK_VALUES = 2**23


def read_bare(path: Path) -> None:
    with h5py.File(path) as file:
        for name in ("X/data", "X/indices"):
            array = file[name]
            buffer = np.empty(BARE_VALUES, array.dtype)
            for first in range(0, len(array), BARE_VALUES):
                n = min(BARE_VALUES, len(array) - first)
                array.read_direct(buffer, np.s_[first : first + n], np.s_[:n])


def inflate_bare(path: Path) -> None:
    places: list[tuple[int, int]] = []
    with h5py.File(path) as file:
        for name in ("X/data", "X/indices"):
            file[name].id.chunk_iter(lambda chunk: places.append((chunk.size, chunk.byte_offset)))
    handle = os.open(path, os.O_RDONLY)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda place: len(zlib.decompress(os.pread(handle, *place))), places))
    os.close(handle)


def iter_rows(path: Path) -> None:
    for _ in open_rows(path).iter_rows(BLOCK_VALUES):
        pass


def iter_values(path: Path) -> None:
    for _ in open_rows(path).iter_values(BLOCK_VALUES):
        pass


CASES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "plain, bare h5py": ("plain", read_bare),
    "plain, iter_rows": ("plain", iter_rows),
    "plain, iter_values": ("plain", iter_values),
    "gzip, bare h5py": ("gzip", read_bare),
    "gzip, bare inflating on all cores": ("gzip", inflate_bare),
    "gzip, iter_rows": ("gzip", iter_rows),
    "gzip, iter_values": ("gzip", iter_values),
    "CSC, bare h5py": ("csc", read_bare),
    "CSC, iter_rows": ("csc", iter_rows),
}
COMPARED = {
    "plain, iter_rows": "plain, bare h5py",
    "plain, iter_values": "plain, bare h5py",
    "gzip, iter_rows": "gzip, bare inflating on all cores",
    "gzip, iter_values": "gzip, bare inflating on all cores",
    "CSC, iter_rows": "CSC, bare h5py",
}


def measure(name: str, path: Path) -> tuple[float, int]:
    """Seconds and peak memory (bytes) of a case, in a fresh process so that peaks do not mix."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, path))


def _measure(name: str, path: Path) -> tuple[float, int]:
    assemble(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(1, np.int64), width=1)
    start = time.perf_counter()
    CASES[name][1](path)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def copy_part(source: Path, folder: Path, *, n_values: int) -> None:
    """The first rows of X, up to `n_values` values, as gzip.h5ad and csc.h5ad (X alone)."""
    with h5py.File(source) as file:
        x = file["X"]
        n_rows = int(np.searchsorted(x["indptr"][:], n_values, side="right")) - 1
        pointers = x["indptr"][: n_rows + 1]
        arrays = x["data"][: pointers[-1]], x["indices"][: pointers[-1]], pointers
        shape = (n_rows, int(x.attrs["shape"][1]))
        chunk = x["data"].chunks
    part = csr_matrix(arrays, shape=shape)
    for name, kind, x, options in (
        ("gzip", "csr_matrix", part, {"compression": "gzip", "chunks": chunk}),
        ("csc", "csc_matrix", part.tocsc(), {"chunks": chunk}),
    ):
        with h5py.File(folder / f"{name}.h5ad", "w") as file:
            group = file.create_group("X")
            group.attrs.update({"encoding-type": kind, "encoding-version": "0.1.0", "shape": shape})
            group.create_dataset("data", data=x.data, **options)
            group.create_dataset("indices", data=x.indices, **options)
            group.create_dataset("indptr", data=x.indptr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--values", type=int, default=174_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = choice.file or simulate(SimulationSpec(n_cells=choice.cells, n_genes=18_080), folder / "plain.h5ad")
        copying = multiprocessing.get_context("spawn").Process(
            target=copy_part, args=(plain, folder), kwargs={"n_values": choice.values}
        )
        copying.start()
        copying.join()
        paths = {"plain": plain, "gzip": folder / "gzip.h5ad", "csc": folder / "csc.h5ad"}
        runs: dict[str, list[tuple[float, int]]] = {name: [] for name in CASES}
        for turn in range(choice.repeats + 1):
            for name, (kind, _) in CASES.items():
                found = measure(name, paths[kind])
                if turn:
                    runs[name].append(found)
        result = {
            "plain_bytes": plain.stat().st_size,
            "gzip_bytes": paths["gzip"].stat().st_size,
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "versions": {name: version(name) for name in ("vccapp", "h5py", "isal", "numba", "numpy")},
            "repeats": choice.repeats,
            "best": {
                name: {"seconds": round(min(r[0] for r in found), 3), "peak_bytes": max(r[1] for r in found)}
                for name, found in runs.items()
            },
        }
    best = result["best"]
    print(f"plain {result['plain_bytes'] / 1e6:,.0f} MB, gzip {result['gzip_bytes'] / 1e6:,.0f} MB")
    print(f"{'':36}{'time':>9}{'memory':>11}{'of bare':>9}")
    for name, row in best.items():
        if name in COMPARED:
            row["times_bare"] = round(row["seconds"] / best[COMPARED[name]]["seconds"], 2)
        ratio = f"{row['times_bare']:>8.2f}x" if "times_bare" in row else ""
        print(f"{name:36}{row['seconds']:>7.2f} s{row['peak_bytes'] / 1e9:>8.2f} GB{ratio}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
