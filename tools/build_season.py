"""The 2025 season's genes and targets, from the challenge's own lists.

    python tools/build_season.py FOLDER      # gene_names.csv, pert_counts_Validation.csv, pert_counts_Test.csv

Writes assets/vcc2025_genes.txt (18,080 symbols in the official order) and assets/vcc2025_targets.csv (phase,
target_gene, n_cells, median_umi_per_cell): names and numbers, facts of the season.
"""

import csv
import sys
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"
PHASES = {"validation": "pert_counts_Validation.csv", "final": "pert_counts_Test.csv"}
FIELDS = ("target_gene", "n_cells", "median_umi_per_cell")


def main(folder: Path) -> None:
    genes = (folder / "gene_names.csv").read_text(encoding="utf-8").split()
    (ASSETS / "vcc2025_genes.txt").write_text("".join(f"{gene}\n" for gene in genes), encoding="utf-8")
    with (ASSETS / "vcc2025_targets.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("phase", *FIELDS))
        for phase, name in PHASES.items():
            with (folder / name).open(encoding="utf-8", newline="") as table:
                writer.writerows((phase, *(row[field] for field in FIELDS)) for row in csv.DictReader(table))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
