"""Zarr stores are read inside of their folder, with codecs that run nothing; zip and addresses as well as folders."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import fsspec
import numpy as np
import pytest
from refusals import refusal
from toy import make_counts

from vccapp.data.reading.opening import open_dataset
from vccapp.data.stores.access import Access
from vccapp.errors import DataError


@pytest.fixture(params=[2, 3])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "data" / "cells.zarr"
    path.parent.mkdir()
    with ad.settings.override(zarr_write_format=request.param):
        make_counts(n_cells=120, n_genes=40).write_zarr(path)
    return path


def same(path: Path | str) -> None:
    dataset = open_dataset(path)
    toy = make_counts(n_cells=120, n_genes=40)
    np.testing.assert_array_equal(dataset.read_rows(range(120)).toarray(), toy.X.toarray())
    assert dataset.cells["perturbation"].tolist() == toy.obs["target_gene"].tolist()
    assert dataset.obs_columns == tuple(toy.obs)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["X", "obs/batch", "X/data", "chunk"])
def test_links_that_leave_the_store(part: str, store: Path, tmp_path: Path) -> None:
    inside = store / part
    if part == "chunk":
        files = [path for path in (store / "X/data").rglob("*") if path.is_file()]
        inside = next(path for path in files if not path.name.startswith((".z", "zarr")))
    outside = tmp_path / "secret" / inside.name
    outside.parent.mkdir()
    shutil.move(inside, outside)
    inside.symlink_to(outside)
    with refusal(DataError, "link_outside") as caught:
        list(open_dataset(store, access=Access(roots=(store.parent,))).iter_rows())
    assert "secret" in str(caught.value)
    assert len(str(caught.value)) < 300
    assert open_dataset(store, access=Access(roots=(store.parent, outside.parent))).n_cells == 120


@pytest.mark.parametrize("codec", ["pickle", "json2", "from-nobody"])
def test_codecs_beyond_the_list(codec: str, store: Path, tmp_path: Path) -> None:
    for path in (store / "obs").rglob("*"):
        if path.name not in (".zarray", "zarr.json"):
            continue
        found = json.loads(path.read_text())
        if path.name == ".zarray":
            found["filters"] = [*(found["filters"] or []), {"id": codec}]
        elif "codecs" in found:
            found["codecs"].insert(0, {"name": f"numcodecs.{codec}", "configuration": {}})
        path.write_text(json.dumps(found))
    with refusal(DataError, "codec_refused") as caught:
        open_dataset(store)
    assert codec in str(caught.value)


def test_a_folder_of_any_name(store: Path) -> None:
    same(store.rename(store.parent / "cells"))


def test_zip(store: Path) -> None:
    same(shutil.make_archive(str(store), "zip", store))


@pytest.mark.slow
def test_memory(store: Path) -> None:
    files = fsspec.filesystem("memory")
    files.put(f"{store}/", "/bucket/cells.zarr", recursive=True)
    same("memory://bucket/cells.zarr")


@pytest.fixture
def address(store: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=store.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/cells.zarr"
        server.shutdown()


@pytest.mark.slow
def test_http(address: str) -> None:
    pytest.importorskip("aiohttp", reason="http:// through fsspec needs aiohttp")
    same(address)


def test_nothing_at_the_address() -> None:
    with refusal(DataError, "file_missing") as caught:
        open_dataset("memory://nowhere/cells.zarr")
    assert "memory://nowhere/cells.zarr" in str(caught.value)
