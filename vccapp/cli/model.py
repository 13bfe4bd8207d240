"""`vccapp model`: what models start from: networks that other tools trained, and vectors of cells."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from vccapp.cli.following import After, Background, On, run_job
from vccapp.cli.names import find_dataset, open_index, open_settings
from vccapp.cli.output import Json, format_fields, format_table, show, tell
from vccapp.commands import parse_assignments

app = typer.Typer(help="Models: convert networks of other tools, embed cells.", no_args_is_help=True)


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a run of arc-state, or one of its .ckpt files.")],
    out: Annotated[Path, typer.Argument(help="Output folder; the model state_checkpoint reads it.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Run the conversion; without this, only show what would run.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Read it as a full pickle, which may run any code.")] = False,
    as_json: Json = False,
) -> None:
    """Convert an ST network of arc-state to safetensors and JSON, in a process of its own."""
    import shlex

    from vccapp.data.atomic import require_new
    from vccapp.errors import DataError, SpecError
    from vccapp.neural.state.shape import CONVERTED
    from vccapp.records import read_record

    words = [sys.executable, "-m", "vccapp.neural.state.convert", str(checkpoint), str(out)]
    words += ["--trust"] if trust else []
    command = shlex.join(words)
    if not yes:
        how = "as full pickles, which may run any code in them" if trust else "allowing only tensors, numbers and text"
        raise SpecError(
            "untrusted_checkpoint",
            f"The files of {checkpoint} are pickles. To read them {how}, this would run {command}. Add --yes to run it",
        )
    require_new(out)
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise DataError("convert_failed", said[-1] if said else f"{command} failed")
    record = read_record(out / "official.json", CONVERTED)
    shape = record["shape"]
    fields = {
        "folder": out.resolve(),
        "source": record["source"],
        "genes": len(record["genes"]),
        "perturbations": len(record["perturbations"]),
        "layers": shape["n_layers"],
        "width": shape["width"],
        "set_size": record["set_size"],
        "space": shape["space"],
        "next": f"vccapp train start state_checkpoint --split SPLIT --set folder={out.resolve()}",
    }
    show(fields, lambda: format_fields(fields), as_json=as_json)


@app.command()
def embed(
    dataset: Annotated[str, typer.Argument(help="Path, fingerprint or title of an indexed dataset.")],
    method: Annotated[
        Literal["pca", "state", "obsm"],
        typer.Option(help="pca; state: STATE's self-supervised embedding (SE); obsm: one stored in the file."),
    ] = "pca",
    key: Annotated[str, typer.Option(help="Name of the array in obsm.")] = "X_state",
    components: Annotated[int, typer.Option(min=1, help="Principal components of pca.")] = 50,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of state, NAME=VALUE; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same vectors.")] = 0,
    on: On = "here",
    split: Annotated[
        str,
        typer.Option(help="Split whose training part and controls alone decide on the vectors. Default: all cells."),
    ] = "",
    background: Background = False,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Write a vector for every cell beside the index (X_pca, X_state), which `state` takes as inputs.

    A run is refused that would take vectors that were made with cells of its held-out perturbations: give its split.
    `vccapp data preprocess` writes the vectors to obsm.
    """
    from vccapp.tasks.embed import Embed

    settings = open_settings()
    fingerprint = find_dataset(dataset, settings).fingerprint
    index = open_index(fingerprint, settings)
    params = parse_assignments(set_ or [])
    task = Embed(
        dataset=fingerprint, method=method, components=components, seed=seed, key=key, params=params, split=split
    )
    if method == "state":
        from vccapp.neural.state_embedding.spec import check_state_embedding

        estimate = check_state_embedding(index, params, memory_bytes=settings.memory_bytes)
        tell(estimate.describe())
    result = run_job(settings, task, on=on, background=background, after=after, as_json=as_json)
    next_ = f"vccapp train start state --split SPLIT --set inputs={result.name}".replace("SPLIT", split or "SPLIT")
    fields = result.model_dump(mode="json") | {"next": next_}
    show(fields, lambda: format_fields(fields), as_json=as_json)


@app.command()
def embeddings(
    split: Annotated[str, typer.Option(help="Name or path of the split, which also determines the dataset.")],
    embedding: Annotated[
        list[str] | None,
        typer.Option(
            "--embedding", help="One to look at; repeatable. Default: all that are found.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how many targets of a dataset each gene embedding covers."""
    from vccapp.data.splits.split import load_split
    from vccapp.training.choosing.coverage import compare_embeddings, list_embeddings

    settings = open_settings()
    opened = load_split(split, settings)
    index = open_index(opened.dataset, settings)
    frame = compare_embeddings(embedding or list_embeddings(settings), index, opened)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    show(rows, lambda: format_table(rows, tuple(frame)), as_json=as_json)
