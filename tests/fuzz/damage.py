"""Damaged inputs, each from a seed: `make_case(seed, kit, folder)` writes one and says what it is."""

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import zstandard
from toy import make_counts

HUGE = 2**31
TEXTS = (
    "",
    " ",
    "\0",
    "NaN",
    "=SUM(1)",
    "../../etc/passwd",
    "\x1b]0;pwned\x07",
    "a\nb",
    "é" * 50,
    "x" * 5_000,
    "+",
    "A+B+C",
    "non-targeting",
    "![x](http://h/x.gif)",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    2**63,
    "",
    "x",
    [],
    {},
    [[]],
    {"a": 1},
    float("nan"),
    "1",
    [1],
)


@dataclass(frozen=True)
class Kit:
    """Good files to damage: an h5ad, a zarr, tables, a split, a run folder, a plan folder and a package."""

    folder: Path
    dataset: str
    run: str


@dataclass(frozen=True)
class Case:
    """kind : of input; what : what was done to it; path : where it is"""

    kind: str
    what: str
    path: Path


KINDS = ("h5ad", "h5ad", "h5ad", "zarr", "csv", "genes", "json", "toml", "checkpoint", "plan", "vcc", "embedding")
"""As often as they are drawn."""


def make_case(seed: int, kit: Kit, folder: Path) -> Case:
    """The case of a seed, written into a new folder."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    folder.mkdir(parents=True, exist_ok=True)
    what, path = _MAKERS[kind](rng, kit, folder)
    return Case(kind, what, path)


def _pick(rng: np.random.Generator, options: Any) -> Any:
    options = list(options)
    return options[int(rng.integers(len(options)))]


def _bytes(rng: np.random.Generator, path: Path) -> str:
    """Cut short, turned, blanked, repeated or replaced bytes."""
    content = bytearray(path.read_bytes())
    way = _pick(rng, ["cut", "flip", "blank", "repeat", "empty", "other", "append"])
    at = int(rng.integers(max(len(content), 1)))
    if way == "cut":
        content = content[:at]
    elif way == "flip":
        for place in rng.integers(max(len(content), 1), size=int(rng.integers(1, 40))).tolist():
            if place < len(content):
                content[place] ^= 1 << int(rng.integers(8))
    elif way == "blank":
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    elif way == "repeat":
        content[at:at] = content[at : at + 4096]
    elif way == "empty":
        content = bytearray()
    elif way == "other":
        content = bytearray(
            _pick(rng, [b"\x1f\x8b\x08", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80\x04.", b"\xff\xfe"])
        )
        content += rng.bytes(300)
    else:
        content += rng.bytes(1000)
    path.write_bytes(content)
    return f"bytes {way}"


def _h5ad(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
    path = folder / "cells.h5ad"
    shutil.copy(kit.folder / _pick(rng, ["cells.h5ad", "dense.h5ad", "csc.h5ad"]), path)
    if rng.random() < 0.25:
        return _bytes(rng, path), path
    way = _pick(rng, _H5)
    with h5py.File(path, "r+") as file:
        arrays: list[str] = []
        file.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
        name = _pick(rng, [name for name in arrays if not name.startswith("uns")])
        return f"{way.__name__[1:]} {name}", way(rng, file, name) or path


def _replace(file: h5py.File, name: str, values: Any, **about: Any) -> None:
    attrs = dict(file[name].attrs)
    del file[name]
    made = file.create_dataset(name, data=values, **about) if values is not None else file.create_dataset(name, **about)
    made.attrs.update(attrs)


def _delete(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    del file[_pick(rng, [name, name.rpartition("/")[0] or name])]


def _declare_huge(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    n = int(_pick(rng, [HUGE, 10**6, 2**40]))
    _replace(file, name, None, shape=(n,), dtype=file[name].dtype, chunks=(2**14,))


def _shorten(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    if file[name].shape:
        _replace(file, name, file[name][: file[name].shape[0] // 2])


def _other_type(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    n = max(file[name].size or 0, 1)
    made = _pick(rng, [np.zeros(n, "f2"), np.zeros(n, "c8"), np.full(n, b"x"), np.zeros(n, "?"), np.zeros((n, 2)), 7])
    _replace(file, name, made)


def _odd_values(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    found = file[name]
    if found.dtype.kind in "iu" and found.size:
        found[0] = _pick(rng, [0, np.iinfo(found.dtype).max, np.iinfo(found.dtype).min])
    elif found.dtype.kind == "f" and found.size:
        values = found[()]
        values.flat[0] = _pick(rng, [np.nan, np.inf, -np.inf, -5, 1e30])
        found[...] = values
    elif found.size and found.shape:
        found[0] = _pick(rng, [text for text in TEXTS if "\0" not in text])


def _odd_attribute(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    item = file[_pick(rng, ["X", "obs", "var", name])]
    if not len(item.attrs):
        return
    key = _pick(rng, item.attrs)
    if rng.random() < 0.3:
        del item.attrs[key]
    else:
        item.attrs[key] = _pick(rng, ["from-the-future", -1, [1, 2, 3], [HUGE, HUGE], "", b"\xff\xfe", 1.5, [0, 0]])


def _link(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    del file[name]
    target = _pick(rng, ["/etc/passwd", "nowhere.h5", "../other.h5ad", "/dev/zero"])
    file[name] = _pick(rng, [h5py.ExternalLink(target, "/X"), h5py.SoftLink(f"/{name}"), h5py.SoftLink("/nowhere")])


def _external_storage(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    _replace(file, name, None, shape=(100,), dtype="u1", external=[(_pick(rng, ["/etc/passwd", "/dev/zero"]), 0, 100)])


def _latin(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    n = file[name].shape[0] if file[name].shape else 1
    _replace(file, name, np.full(n, b"caf\xe9"))


def _deep(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    group = file.require_group("uns")
    for _ in range(int(rng.integers(10, 400))):
        group = group.create_group("d")
    file["uns/loop"] = file["/"]


_H5 = [
    _delete,
    _declare_huge,
    _shorten,
    _other_type,
    _odd_values,
    _odd_attribute,
    _link,
    _external_storage,
    _latin,
    _deep,
]


def _zarr(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
    path = folder / "cells.zarr"
    shutil.copytree(kit.folder / _pick(rng, ["v2.zarr", "v3.zarr"]), path)
    files = sorted(inner for inner in path.rglob("*") if inner.is_file())
    chosen = _pick(rng, files)
    name = str(chosen.relative_to(path))
    way = _pick(rng, ["bytes", "delete", "link", "pipe", "json", "json", "folder"])
    if way == "bytes":
        return f"{_bytes(rng, chosen)} {name}", path
    if way == "json":
        chosen = _pick(rng, [inner for inner in files if inner.name in (".zarray", "zarr.json", ".zattrs")])
        content = json.loads(chosen.read_text())
        what = _damage_json(rng, content)
        chosen.write_text(json.dumps(content))
        return f"{what} {chosen.relative_to(path)}", path
    chosen.unlink()
    if way == "link":
        chosen.symlink_to(_pick(rng, ["/etc/passwd", "/dev/zero", "nowhere", path]))
    elif way == "pipe":
        os.mkfifo(chosen)
    elif way == "folder":
        chosen.mkdir()
    return f"{way} {name}", path


def _damage_json(rng: np.random.Generator, content: Any) -> str:
    """Change one value anywhere in it, in place."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(content)
    if not places:
        return "nothing"
    where, key = _pick(rng, places)
    if rng.random() < 0.25:
        del where[key]
        return f"without {key}"
    where[key] = _pick(rng, (*VALUES, *TEXTS, HUGE, -HUGE))
    return f"{str(key)[:20]} is {str(where[key])[:20]!r}"


def _text(rng: np.random.Generator, path: Path) -> str:
    """A table or list with one thing wrong."""
    lines = path.read_text().splitlines()
    way = _pick(
        rng, ["cell", "cell", "field", "missing", "repeat", "header", "utf16", "latin", "quote", "long", "bytes"]
    )
    row = int(rng.integers(len(lines)))
    fields = lines[row].split(",")
    if way == "cell":
        fields[int(rng.integers(len(fields)))] = _pick(rng, (*TEXTS, "-1", "1e9", "nan", "3.5", "inf", str(2**70)))
        lines[row] = ",".join(fields)
    elif way == "field":
        lines[row] += ",5"
    elif way == "missing":
        lines[row] = ",".join(fields[:-1])
    elif way == "repeat":
        lines.insert(row, lines[row])
    elif way == "header":
        lines = lines[1:]
    elif way == "quote":
        lines[row] = '"' + lines[row]
    elif way == "long":
        lines[row] = "x" * 10**6
    content = "\n".join(lines) + "\n"
    if way == "bytes":
        return _bytes(rng, path)
    path.write_bytes(content.encode({"utf16": "utf-16", "latin": "latin-1"}.get(way, "utf-8"), errors="replace"))
    return f"text {way}"


def _special(rng: np.random.Generator, path: Path) -> str | None:
    """Now and then, something that is no file."""
    way = _pick(rng, ["pipe", "folder", "zeros", "nowhere", "loop", *[""] * 40])
    if not way:
        return None
    path.unlink()
    if way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
    elif way == "zeros":
        path.symlink_to("/dev/zero")
    elif way == "loop":
        path.symlink_to(path)
    return way


def _table_of(name: str) -> Callable[[np.random.Generator, Kit, Path], tuple[str, Path]]:
    def make(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
        path = folder / name
        shutil.copy(kit.folder / name, path)
        return _special(rng, path) or _text(rng, path), path

    return make


def _json(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
    path = folder / "split.json"
    shutil.copy(kit.folder / "split.json", path)
    special = _special(rng, path)
    if special:
        return special, path
    if rng.random() < 0.3:
        return _bytes(rng, path), path
    content = json.loads(path.read_text())
    what = _damage_json(rng, content)
    path.write_text(json.dumps(content))
    return what, path


def _folder_of(name: str) -> Callable[[np.random.Generator, Kit, Path], tuple[str, Path]]:
    """A run or a plan, of which one file is damaged."""

    def make(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
        path = folder / name
        shutil.copytree(kit.folder / name, path)
        chosen = _pick(rng, sorted(inner for inner in path.rglob("*") if inner.is_file() and inner.name != "log.txt"))
        where = chosen.relative_to(path)
        if chosen.suffix == ".json" and rng.random() < 0.6:
            content = json.loads(chosen.read_text())
            what = _damage_json(rng, content)
            chosen.write_text(json.dumps(content))
            return f"{what} {where}", path
        return f"{_special(rng, chosen) or _bytes(rng, chosen)} {where}", path

    return make


def _vcc(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
    path = folder / "sub.vcc"
    way = _pick(rng, ["bytes", "bytes", "h5ad", "h5ad", "member", "link", "bomb", "name", "repeat"])
    if way == "bytes":
        shutil.copy(kit.folder / "sub.vcc", path)
        return _bytes(rng, path), path
    what, source = _h5ad(rng, kit, folder)
    content = zstandard.ZstdCompressor().compress(source.read_bytes())
    if way == "bomb":
        content = zstandard.ZstdCompressor().compress(bytes(3 * 10**8))
    members = [("pred.h5ad.zst", content), ("watermark.txt", b"vcc-prep")]
    if way == "member":
        members = members[: int(rng.integers(2))]
    elif way == "name":
        members[0] = (_pick(rng, ["../pred.h5ad.zst", "/etc/x", "x" * 5000, "a\nb", "pred.h5ad"]), content)
    elif way == "repeat":
        members *= 2
    with tarfile.open(path, "w") as archive:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            if way == "link" and name.startswith("pred"):
                info.type, info.linkname, info.size = _pick(rng, [tarfile.SYMTYPE, tarfile.LNKTYPE]), "/etc/passwd", 0
            archive.addfile(info, io.BytesIO(body) if info.size else None)
    return f"{way} {what}", path


def _embedding(rng: np.random.Generator, kit: Kit, folder: Path) -> tuple[str, Path]:
    name = _pick(rng, ["vectors.csv", "vectors.npz", "vectors.pickle", "vectors.parquet", "sets.gmt", "gz"])
    if name == "gz":
        path = folder / "vectors.csv.gz"
        path.write_bytes(gzip.compress((kit.folder / "vectors.csv").read_bytes()))
        return _bytes(rng, path), path
    path = folder / name
    shutil.copy(kit.folder / name, path)
    text = name.endswith((".csv", ".gmt")) and rng.random() < 0.6
    return _special(rng, path) or (_text(rng, path) if text else _bytes(rng, path)), path


_MAKERS: dict[str, Callable[[np.random.Generator, Kit, Path], tuple[str, Path]]] = {
    "h5ad": _h5ad,
    "zarr": _zarr,
    "csv": _table_of("counts.csv"),
    "genes": _table_of("genes.csv"),
    "json": _json,
    "toml": _table_of("split.toml"),
    "checkpoint": _folder_of("run"),
    "plan": _folder_of("plan"),
    "vcc": _vcc,
    "embedding": _embedding,
}


def write_files(folder: Path) -> None:
    """The good files that need no workspace."""
    import pickle

    import pandas as pd

    data = make_counts(n_cells=120, n_genes=40)
    data.write_h5ad(folder / "cells.h5ad")
    csc, dense = data.copy(), data.copy()
    csc.X, dense.X = data.X.tocsc(), data.X.toarray()
    csc.write_h5ad(folder / "csc.h5ad", compression="gzip")
    dense.write_h5ad(folder / "dense.h5ad")
    for version in (2, 3):
        with ad.settings.override(zarr_write_format=version):
            data.write_zarr(folder / f"v{version}.zarr")
    labels = [label for label in data.obs["target_gene"].unique() if label != "non-targeting"]
    rows = [f"{label},20,12000" for label in labels]
    (folder / "counts.csv").write_text("\n".join(["target_gene,n_cells,median_umi_per_cell", *rows]) + "\n")
    (folder / "genes.csv").write_text("\n".join(data.var_names) + "\n")
    (folder / "split.toml").write_text(f'[fewshot."toy.cells"]\nval = ["{labels[0]}"]\ntest = ["{labels[1]}"]\n')
    vectors = {gene: np.random.default_rng(i).normal(size=8) for i, gene in enumerate(data.var_names)}
    table = pd.DataFrame(vectors).T
    table.columns = [f"v{i}" for i in table]
    table.rename_axis("gene").to_csv(folder / "vectors.csv")
    table.to_parquet(folder / "vectors.parquet")
    np.savez(folder / "vectors.npz", genes=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    (folder / "vectors.pickle").write_bytes(pickle.dumps({gene: vector.tolist() for gene, vector in vectors.items()}))
    sets = [f"set{i}\tmade\t" + "\t".join(data.var_names[i : i + 8]) for i in range(0, 40, 4)]
    (folder / "sets.gmt").write_text("\n".join(sets) + "\n")
