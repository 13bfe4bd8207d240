"""The statistics pass over compressed files against merely inflating them on a thread a core, in one call.

    python benchmarks/compressed.py [--filters gzip zstd lzf] [--file FILE.h5ad] [--cells 20000] [--cache FOLDER]

Each copy has the chunks that anndata would write, packed on a thread a core; it stays in --cache, so that a large one
is packed once. `inflating` is zlib (as HDF5 uses it) or zstandard on all chunks of X; lzf has no library but HDF5's
own, so there it is h5py on one thread. Contenders take turns (see measure.py). Prints a table and writes
results/compressed.json.
"""

import argparse
import os
import sys
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from index import our_statistics, reading
from kit.measure import (
    add_data_arguments,
    describe,
    make_data,
    measure_contender,
    pick_best,
    print_table,
    run_apart,
    run_child,
    write_results,
)

FILTERS: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 4},
    "zstd": {"compression": 32015, "compression_opts": (3,)},
    "lzf": {"compression": "lzf"},
}
PACKAGES = ("vccapp", "h5py", "isal", "zstandard", "numba", "numpy")
COLUMNS = {
    "seconds": "time",
    "times_inflating": "times inflating",
    "cpu_seconds": "processor",
    "peak_bytes": "peak memory",
}
TURNS = ("inflating", "our statistics") * 3


def pack(source: Path, target: Path, name: str) -> None:
    """Copy an uncompressed file with X/data and X/indices compressed."""
    import h5py
    import hdf5plugin  # noqa: F401 - zstd for h5py
    from h5py._hl.filters import guess_chunk

    with h5py.File(source) as old, h5py.File(target, "w") as new, ThreadPoolExecutor(os.cpu_count()) as threads:
        for key in old:
            if key != "X":
                old.copy(key, new)
        new.attrs.update(dict(old.attrs))
        x = new.create_group("X")
        x.attrs.update(dict(old["X"].attrs))
        x["indptr"] = old["X/indptr"][:]
        for key in ("data", "indices"):
            array = old["X"][key]
            (chunk,) = guess_chunk(array.shape, array.shape, array.dtype.itemsize)
            packed = x.create_dataset(key, array.shape, array.dtype, chunks=(chunk,), **FILTERS[name])
            for start in range(0, len(array), 64 * chunk):
                values = array[start : start + 64 * chunk]
                if name == "lzf":
                    packed[start : start + len(values)] = values
                    continue
                values.resize(-(-len(values) // chunk), chunk)
                for row, found in enumerate(threads.map(_packer(name), values)):
                    packed.id.write_direct_chunk((start + row * chunk,), found)


def _packer(name: str) -> Callable[[Any], bytes]:
    if name == "gzip":
        return lambda values: zlib.compress(values, 4)
    from zstandard import ZstdCompressor

    return lambda values: ZstdCompressor(level=3).compress(values.tobytes())


def inflating(file: Path, scratch: Path) -> None:
    """All chunks of X by their place in the file, on a thread a core, and nothing kept."""
    import h5py
    from zstandard import ZstdDecompressor

    from vccapp.data.stores.files import filter_numbers

    places: list[tuple[int, int]] = []
    with h5py.File(file) as store:
        kind = filter_numbers(store["X/data"])
        size = (store["X/data"].chunks or (0,))[0] * 4
        for name in ("data", "indices"):
            if kind in ([1], [32015]):
                store["X"][name].id.chunk_iter(lambda chunk: places.append((chunk.size, chunk.byte_offset)))
    if not places:
        reading(file, scratch)
        return
    inflate = zlib.decompress if kind == [1] else lambda raw: ZstdDecompressor().decompress(raw, max_output_size=size)
    with file.open("rb") as stream, ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda place: len(inflate(os.pread(stream.fileno(), *place))), places))


CONTENDERS = {"inflating": inflating, "our statistics": our_statistics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.add_argument("--filters", nargs="+", choices=FILTERS, default=list(FILTERS))
    choice = parser.parse_args()
    file, tiny = make_data(choice)
    results = {}
    for name in choice.filters:
        packed = choice.cache / f"{file.stem}.{name}.h5ad"
        if not packed.exists():
            print(f"packing {packed} ...", file=sys.stderr, flush=True)
            run_apart(pack, file, packed, name)
        runs: dict[str, list[dict[str, Any]]] = {}
        for contender in TURNS:
            with tempfile.TemporaryDirectory(dir=choice.cache) as scratch:
                found = measure_contender(Path(__file__), contender, file=packed, tiny=tiny, scratch=Path(scratch))
            runs.setdefault(contender, []).append(found)
        best = pick_best(runs, reference="inflating")
        for row in best.values():
            if "seconds" in row:
                row["times_inflating"] = row["seconds"] / best["inflating"]["seconds"]
        print(f"{name}: {packed.stat().st_size / 1e9:.2f} GB of {file.stat().st_size / 1e9:.2f} GB")
        print_table(best, COLUMNS)
        results[name] = {"bytes": packed.stat().st_size, "best": best, "runs": runs}
    write_results("compressed", describe(choice, file, PACKAGES) | {"filters": results})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        run_child(CONTENDERS, sys.argv[2:])
    else:
        main()
