"""A training by the official program, and a prediction by what it has trained, in a folder.

train(program, plan, folder, device="auto", log=log, progress=progress)
for label, block in predict(program, network, ...): ...
"""

import itertools
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vccapp.data.atomic import write_file, write_json
from vccapp.data.schema import target_of
from vccapp.errors import DataError, JobError, SpecError, Stopped
from vccapp.neural.arc_state import describe
from vccapp.neural.arc_state.command import (
    HVG,
    LOG,
    PREDICTED,
    RUN,
    TEMPLATE,
    Checkpoint,
    Inputs,
    Plan,
    infer_words,
    train_words,
)
from vccapp.neural.arc_state.data import Filled, write_template
from vccapp.neural.arc_state.follow import STEP, MetricsReader, find_nan
from vccapp.neural.arc_state.process import last_words, run_program
from vccapp.neural.arc_state.program import Program
from vccapp.progress import Progress
from vccapp.wording import name_some

DONE = "trained.json"
METRICS = Path("version_0", "metrics.csv")
CHECKPOINTS = Path("checkpoints")
FILES = ("config.yaml", "var_dims.pkl", "pert_onehot_map.pt")
"""Of a folder of `state tx train`, beside its checkpoints: what a prediction reads."""
PLACES = ("*", "*/*", "*/model/official")
MAX_FOLDERS = 200
COPIES = 6
"""Of a template's values that `tx infer` has in memory at its peak; measured."""


def train(
    program: Program,
    plan: Plan,
    folder: Path,
    *,
    device: str,
    log: Callable[[dict[str, float]], None],
    progress: Progress,
) -> Path:
    """Train in `folder`, which holds the files of `data`, or go on from its last checkpoint; returns the network's.

    Raises JobError or ResourceError where the program fails, or leaves no checkpoint, or its loss is no number.
    """
    run = folder / RUN
    final = run / CHECKPOINTS / "final.ckpt"
    if (folder / DONE).is_file() and final.is_file():
        return run
    final.unlink(missing_ok=True)  # of a training that did not end: the program would leave it there for good
    (run / METRICS).unlink(missing_ok=True)
    _mend_last(run / CHECKPOINTS)
    metrics, at = MetricsReader(run / METRICS), [0]

    def read() -> None:
        for row in metrics.new_rows():
            if name := find_nan(row):
                raise JobError(
                    "state_nan",
                    f"The official program's {name} is no number from step {row[STEP]:,} on",
                    fix="choose a lower learning rate and start a new run",
                )
            log(row)
            at[0] = int(row[STEP])

    def look() -> None:
        read()
        what = f"step {at[0]:,} of {plan.steps:,}" if at[0] else "starting"
        progress(min(at[0] / plan.steps, 1.0), f"Training by arc-state {program.version}: {what}")

    try:
        run_program(
            [str(program.command)],
            train_words(plan),
            folder=folder,
            log_file=folder / LOG,
            what="state tx train",
            device=device,
            look=look,
        )
    except Stopped:
        read()  # what it has done since it was asked to end
        raise
    if not final.is_file():
        raise JobError(
            "state_no_checkpoint",
            f"The official program ended without {CHECKPOINTS / final.name}",
            fix="see the log of the run, then resume it",
        )
    write_json(folder / DONE, {"versions": dict(program.versions), "words": train_words(plan)})
    return run


def _mend_last(folder: Path) -> None:
    """Put the newest whole checkpoint, if any, in place of one that was cut short as the program was killed."""
    last = folder / "last.ckpt"
    if not last.is_file() or zipfile.is_zipfile(last):
        return
    last.unlink()
    if whole := [path for path in folder.glob("*.ckpt") if zipfile.is_zipfile(path)]:
        with write_file(last) as beside:
            shutil.copyfile(max(whole, key=lambda path: path.stat().st_mtime), beside)


@dataclass(frozen=True)
class Network:
    """What the official program has trained, in its folder.

    genes : that it takes and gives, in its order; perturbations : that it knows; control : its name of a control
    """

    folder: Path
    genes: tuple[str, ...]
    perturbations: frozenset[str]
    inputs: Inputs
    control: str

    def checkpoint(self, which: Checkpoint) -> Path:
        return self.folder / CHECKPOINTS / f"{which}.ckpt"


def check_folder(folder: Path, which: Checkpoint) -> None:
    """Raises DataError where a file is missing that a prediction reads."""
    missing = [name for name in (*FILES, str(CHECKPOINTS / f"{which}.ckpt")) if not (folder / name).is_file()]
    if missing:
        raise DataError(
            "not_a_state_folder",
            f"{folder} has no {name_some(missing)}",
            fix="use the folder that `state tx train` wrote (output_dir/name)",
        )


def list_trained(root: Path) -> list[Path]:
    """Folders of `state tx train` below a folder: its own, and those that runs keep with their models."""
    found = itertools.chain.from_iterable(root.glob(f"{place}/{FILES[0]}") for place in PLACES)
    folders = (path.parent for path in itertools.islice(found, MAX_FOLDERS))
    return sorted(
        folder
        for folder in folders
        if all((folder / name).is_file() for name in FILES) and any((folder / CHECKPOINTS).glob("*.ckpt"))
    )


def open_network(program: Program, folder: Path, which: Checkpoint) -> Network:
    """What a folder of `state tx train` knows; its pickles are read by the program's own Python alone.

    Raises DataError for a folder that is none, or a network that takes or gives anything but gene expression.
    """
    check_folder(folder, which)
    script = Path(describe.__file__)
    words = [str(program.python), "-P", str(script), str(folder.absolute())]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=script.parent, check=False)
    try:
        found = json.loads(ended.stdout.splitlines()[-1])
        inputs, space, control = found["inputs"], found["space"], str(found["control"])
        genes, perturbations = tuple(found["genes"]), frozenset(found["perturbations"])
    except (ValueError, LookupError, TypeError):
        said = last_words(ended.stderr)
        raise DataError("not_a_state_folder", f"{folder} cannot be opened by the official program: {said}") from None
    if inputs not in (None, HVG) or space == "embedding":
        raise DataError(
            "needs_expression",
            f"The network in {folder} takes {inputs} and gives {space}, not gene expression alone",
            fix="use a network of gene expression (embed_key X_hvg or none)",
        )
    return Network(folder, genes, perturbations, inputs, control)


def split_wanted(
    wanted: Sequence[tuple[str, int]], *, n_controls: int, n_genes: int, memory_bytes: int
) -> list[list[tuple[str, int]]]:
    """The labels in parts that one `tx infer` fits into memory; one label at least."""
    most = max(1, memory_bytes // (COPIES * 4 * n_genes) - n_controls)
    parts: list[list[tuple[str, int]]] = []
    taken = 0
    for label, n in wanted:
        if not parts or taken + n > most:
            parts.append([])
            taken = 0
        parts[-1].append((label, n))
        taken += n
    return parts


def predict(
    program: Program,
    network: Network,
    checkpoint: Checkpoint,
    folder: Path,
    *,
    controls: np.ndarray,
    control_labels: Sequence[str],
    batches: Sequence[str],
    wanted: Sequence[tuple[str, int]],
    memory_bytes: int,
    device: str,
    seed: int,
    progress: Progress,
) -> Iterator[tuple[str, np.ndarray]]:
    """Predicted cells (n, genes of the network) of the labels wanted, in order, block by block.

    controls : (cells, genes of the network), with their labels and batches
    Raises SpecError for a label that the network does not know: the program would predict a control in silence.
    """
    unknown = [label for label, _ in wanted if target_of(label) not in network.perturbations]
    if unknown:
        raise SpecError("unknown_to_network", f"The official network does not know {name_some(unknown)}")
    parts = split_wanted(wanted, n_controls=len(controls), n_genes=len(network.genes), memory_bytes=memory_bytes)
    template, output = folder / TEMPLATE, folder / PREDICTED
    for i, part in enumerate(parts):
        what = f"Predicting by arc-state {program.version}" + (
            f", part {i + 1} of {len(parts)}" if len(parts) > 1 else ""
        )
        write_template(
            template,
            controls,
            control_labels,
            batches,
            part,
            network.genes,
            inputs=network.inputs,
            control=network.control,
        )
        output.unlink(missing_ok=True)
        words = infer_words(
            run=network.folder,
            checkpoint=network.checkpoint(checkpoint),
            cells=template.name,
            output=output.name,
            inputs=network.inputs,
            control=network.control,
            seed=seed + i,
        )
        run_program(
            [str(program.command)],
            words,
            folder=folder,
            log_file=folder / LOG,
            what="state tx infer",
            device=device,
            look=partial(progress, i / len(parts), what),
        )
        filled = Filled(output, len(controls) + sum(n for _, n in part), len(network.genes), network.inputs)
        yield from _label_blocks(filled.blocks(len(controls)), part)
        template.unlink()
        output.unlink()


def _label_blocks(blocks: Iterator[np.ndarray], wanted: Sequence[tuple[str, int]]) -> Iterator[tuple[str, np.ndarray]]:
    """Blocks of rows as blocks of one label each."""
    left = [(label, n) for label, n in reversed(wanted)]
    for block in blocks:
        while len(block):
            label, n = left.pop()
            own, block = block[:n], block[n:]
            if len(own) < n:
                left.append((label, n - len(own)))
            yield label, own
