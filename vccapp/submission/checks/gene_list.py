"""The genes are the season's, each once, in the official order."""

from collections import Counter
from collections.abc import Sequence

from vccapp.data.names.genes import is_ensembl
from vccapp.seasons.gene_list import match_genes
from vccapp.submission.check import CHECKS, Check, CheckResult, Row
from vccapp.wording import name_some


@CHECKS.register("gene_list")
class Genes(Check):
    label = "Genes are the challenge's"
    why = "Scores compare column with column: one gene out of place shifts all that follow."

    def finish(self) -> CheckResult:
        context, found = self.context, self.context.file.genes
        expected = context.genes
        empty = sum(not gene.strip() for gene in found)
        if empty:
            return self.failed(f"{empty:,} genes have no name.", "Name every gene as in gene_names.csv.")
        twice = [gene for gene, n in Counter(found).items() if n > 1]
        if twice:
            return self.failed(
                f"{len(twice):,} gene names occur more than once, e.g. {name_some(twice)}.",
                "Keep one column per gene; map Ensembl versions or suffixes back to the official names.",
            )
        if expected is not None and list(expected) != found:
            return self._differs(found, list(expected))
        wanted, n, official = context.season.n_genes, len(found), context.season.genes
        if n != wanted or (official is not None and list(official) != found):
            what = (
                f"There are {n:,} genes, the challenge has {wanted:,}"
                if n != wanted
                else (f"The {n:,} genes are not those of {context.season.label}")
            )
            if context.practice:
                return self.warning(f"{what}. This is practice.", "Use the season's genes to have the file scored.")
            return self.failed(
                f"{what}. It cannot be scored.",
                "Train on the challenge's training file, or mark the submission as practice.",
                rule="gene_count",
            )
        if expected is None:
            return self.warning(
                f"There are {n:,} genes, as required; their names were not compared.",
                "Provide the challenge's gene_names.csv to compare names and order.",
            )
        return self.ok(f"The {n:,} genes are the official ones in the official order.")

    def _differs(self, found: list[str], expected: list[str]) -> CheckResult:
        missing, extra = set(expected) - set(found), set(found) - set(expected)
        if not missing and not extra:
            first = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
            return self.failed(
                f"The genes are in a different order: column {first} is {found[first]}, expected {expected[first]}.",
                "Put the columns into the order of gene_names.csv.",
                rule="gene_order",
                mend="reorder_genes",
                table=[
                    {"column": i, "found": a, "expected": b}
                    for i, (a, b) in enumerate(zip(found, expected, strict=True))
                    if a != b
                ],
            )
        parts = [f"lack {len(missing):,} ({name_some(sorted(missing), 3)})"] if missing else []
        parts += [f"have {len(extra):,} others ({name_some(sorted(extra), 3)})"] if extra else []
        kind = ""
        if extra and sum(map(is_ensembl, extra)) > len(extra) / 2:
            kind = " They are Ensembl ids."
        rows: list[Row] = [{"gene": g, "is": "missing"} for g in expected if g in missing]
        rows += [{"gene": g, "is": "extra"} for g in found if g in extra]
        return self.failed(
            f"The {len(found):,} genes {' and '.join(parts)} than the {len(expected):,} of the gene list.{kind}",
            "Use exactly the genes of gene_names.csv; set genes that your model lacks to the control values.",
            mend=self._mend(found, expected),
            table=[*rows[: len(missing)][:6], *rows[len(missing) :][:6]],
        )

    def _mend(self, found: list[str], expected: Sequence[str]) -> str:
        """Filling is safe where most genes are there: a file of other names would come out empty."""
        columns = match_genes(expected, found)
        return "fill_genes" if 2 * (columns >= 0).sum() >= len(expected) else ""
