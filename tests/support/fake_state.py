"""A stand-in for the official program `state`: it takes the same words, reads the same files and writes the same ones.

Its network learns nothing: the cells that it predicts are the mean control and a shift that follows from the name.
FAKE_STATE says how it fails, FAKE_STATE_WAITS after which step it waits to be ended; it then does one step more.
`write_environment` makes an environment of it.
"""

import csv
import io
import json
import os
import pickle
import signal
import sys
import time
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

VERSION = "0.11.1"
TORCH = """import pickle
from pathlib import Path


def load(path, **_):
    return pickle.loads(Path(path).read_bytes())
"""
"""Stands in for torch in its environment: quick to import."""


def shift_of(perturbation: str) -> float:
    """What it adds to every gene."""
    return 0.0 if perturbation == "non-targeting" else 0.1 + zlib.crc32(perturbation.encode()) % 100 / 100


def write_environment(folder: Path, *, version: str = VERSION) -> Path:
    """A folder that VCCAPP_STATE may name: bin/state and bin/python, with arc-state in what it has."""
    about = folder / "site" / f"arc_state-{version}.dist-info"
    (folder / "bin").mkdir(parents=True)
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: arc-state\nVersion: {version}\n")
    (about.parent / "torch.py").write_text(TORCH)
    python = f"#!/bin/sh\nPYTHONPATH='{about.parent}' exec '{sys.executable}' "
    for name, words in {"python": '"$@"\n', "state": f"'{Path(__file__).resolve()}' \"$@\"\n"}.items():
        (folder / "bin" / name).write_text(python + words)
        (folder / "bin" / name).chmod(0o755)
    return folder


def main(words: list[str]) -> None:
    if words[:2] == ["tx", "train"]:
        train(dict(word.lstrip("+").split("=", 1) for word in words[2:]))
    else:
        assert words[:2] == ["tx", "infer"]
        infer(dict(zip(words[2::2], words[3::2], strict=True)))


class NamesOf(pickle.Unpickler):
    """Reads a dict of tensors without torch: its names."""

    def persistent_load(self, _: object) -> None:
        return None

    def find_class(self, *_: str) -> object:
        return lambda *_: None


def train(choices: dict[str, str]) -> None:
    how = os.environ.get("FAKE_STATE", "")
    asked = [False]
    signal.signal(signal.SIGTERM, lambda *_: asked.__setitem__(0, how != "hang"))
    data = {key.removeprefix("data.kwargs."): value for key, value in choices.items() if key.startswith("data.kwargs.")}
    run = Path(choices["output_dir"], choices["name"])
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run / "version_0").mkdir(exist_ok=True)
    inputs = None if data["embed_key"] == "null" else data["embed_key"]
    lines = [f"    {key}: {json.dumps(value)}" for key, value in (data | {"embed_key": inputs}).items()]
    (run / "config.yaml").write_text("\n".join(["data:", "  kwargs:", *lines, ""]))
    with h5py.File("cells.h5ad") as file:
        genes = file["var/gene_name"].asstr()[:].tolist()
        codes = file[f"obs/{data['pert_col']}/codes"][:]
        names = file[f"obs/{data['pert_col']}/categories"].asstr()[:]
        seen = {str(names[code]): int((codes == code).sum()) for code in np.unique(codes)}
        shape = list(file["obsm/X_hvg"].shape) if inputs else [int(n) for n in file["X"].attrs["shape"]]
    (run / "seen.json").write_text(json.dumps({"labels": seen, "shape": shape}))
    features = data.get("perturbation_features_file")
    known = list(map(str, names))
    if features:
        with zipfile.ZipFile(features) as file:
            [content] = [name for name in file.namelist() if name.endswith("data.pkl")]
            known = list(NamesOf(io.BytesIO(file.read(content))).load())
    for name, value in {"pert_onehot_map.pt": dict.fromkeys(known), "var_dims.pkl": {"gene_names": genes}}.items():
        (run / name).write_bytes(pickle.dumps(value))
    fail(how)
    last = run / "checkpoints" / "last.ckpt"
    done = read_step(last) if last.exists() else 0
    print(f"going on at {done}", flush=True)
    steps, every = int(choices["training.max_steps"]), int(choices["training.val_freq"])
    with (run / "version_0" / "metrics.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["epoch", "step", "train_loss", "val_loss"])
        table.writeheader()
        for step in range(done, steps):
            ends = asked[0]  # with the step that it is asked in
            loss = "nan" if how == "nan" and step > 3 else 10 / (step + 1)
            table.writerow({"epoch": 0, "step": step, "train_loss": loss})
            if (step + 1) % every == 0:
                table.writerow({"epoch": 0, "step": step, "val_loss": 11 / (step + 1)})
                with zipfile.ZipFile(last, "w") as archive:  # as torch writes it
                    archive.writestr("step", str(step + 1))
            file.flush()
            while step + 1 == int(os.environ.get("FAKE_STATE_WAITS", "0")) and not asked[0]:
                time.sleep(0.01)
            print(f"\rstep {step}", end="\n" if (step + 1) % every == 0 else "", flush=True)
            if ends:
                raise SystemExit(1)
    if how != "no_checkpoint" and not (run / "checkpoints" / "final.ckpt").exists():
        (run / "checkpoints" / "final.ckpt").write_text(str(steps))


def read_step(checkpoint: Path) -> int:
    with zipfile.ZipFile(checkpoint) as archive:
        return int(archive.read("step"))


def fail(how: str) -> None:
    if how == "fail":
        raise ValueError("the cells are not what they were")
    if how == "memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    if how == "disk":
        sys.exit("OSError: [Errno 28] No space left on device")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def infer(choices: dict[str, str]) -> None:
    how, run = os.environ.get("FAKE_STATE", ""), Path(choices["--model-dir"])
    assert Path(choices["--checkpoint"]).is_file()
    assert (run / "config.yaml").is_file()
    if how == "infer":
        raise ValueError("no such thing")
    column, key = choices["--pert-col"], choices.get("--embed-key")
    output = Path(choices["--output"])
    output.write_bytes(Path(choices["--adata"]).read_bytes())
    with h5py.File(output, "r+") as file:
        labels = file[f"obs/{column}/categories"].asstr()[:][file[f"obs/{column}/codes"][:]]
        groups = file[f"obs/{choices['--celltype-col']}/codes"][:]
        place = f"obsm/{key}" if key else "X"
        if key:
            values = file[place][:]
        else:
            from anndata.io import read_elem

            values = read_elem(file["X"]).toarray()
        is_control = labels == choices["--control-pert"]
        for row in np.flatnonzero(~is_control):
            pool = np.flatnonzero(is_control & (groups == groups[row]))
            values[row] = values[pool].mean(axis=0) + shift_of(labels[row])
        del file[place]
        file[place] = values[:-1] if how == "short" else values


if __name__ == "__main__":
    main(sys.argv[1:])
