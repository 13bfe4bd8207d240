"""The genes are the challenge's, each once, in the official order."""

from collections import Counter

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.wording import name_some


@CHECKS.register("gene_list")
class Genes(Check):
    label = "Genes are the challenge's"
    reads_values = False

    def finish(self) -> CheckResult:
        found, expected = self.context.file.genes, self.context.genes
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
        wanted, n = self.context.season.n_genes, len(found)
        if n != wanted:
            say = self.warning if self.context.practice else self.failed
            why = "This is practice" if self.context.practice else "It cannot be scored"
            return say(
                f"There are {n:,} genes, the challenge has {wanted:,}. {why}.",
                "Train on the challenge's training file, or mark the submission as practice.",
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
            )
        parts = [f"lack {len(missing):,} ({name_some(sorted(missing), 3)})"] if missing else []
        parts += [f"have {len(extra):,} others ({name_some(sorted(extra), 3)})"] if extra else []
        return self.failed(
            f"The {len(found):,} genes {' and '.join(parts)} than the {len(expected):,} of the gene list.",
            "Use exactly the genes of gene_names.csv; set genes that your model lacks to the control values.",
        )
