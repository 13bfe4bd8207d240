"""Labels of cells that lie in tables beside a matrix of 10x: protospacer calls, cell identities, metadata."""

from pathlib import Path

import pandas as pd

from vccapp.faults import refuse_shortage

LABELLED = 0.5
"""Share of the cells that a table must name to be taken as one of this matrix."""
MAX_BYTES = 2**28
OWN = ("barcodes.tsv", "features.tsv", "genes.tsv")


def read_labels(folder: Path, barcodes: pd.Index) -> pd.DataFrame:
    """Columns of every table in the folder whose first column names at least half of the barcodes."""
    obs = pd.DataFrame(index=barcodes.rename(None))
    for path in sorted(folder.iterdir()):
        name = path.name.lower().removesuffix(".gz")
        if not name.endswith((".csv", ".tsv", ".txt")) or name in OWN or not path.is_file():
            continue
        if path.stat().st_size > MAX_BYTES:
            continue
        try:
            table = pd.read_csv(path, sep="," if name.endswith(".csv") else "\t", dtype={0: str})
        except (ValueError, pd.errors.ParserError, EOFError, OSError) as error:
            refuse_shortage(error, name=path.name)
            continue
        if table.shape[1] < 2:
            continue
        table = table.drop_duplicates(table.columns[0]).set_index(table.columns[0])
        if barcodes.isin(table.index).mean() >= LABELLED:
            obs = obs.join(table[[column for column in table if column not in obs]])
    return obs
