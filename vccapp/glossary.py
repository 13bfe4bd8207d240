"""What the words of the field mean here. The page *Glossary* shows it, and docs/style.md keeps to it."""

from typing import NamedTuple


class Term(NamedTuple):
    """A word, other names of it, and what it means here."""

    word: str
    also: str
    meaning: str


GLOSSARY = (
    Term("Baseline", "", "A prediction that needs no gene-specific knowledge: no change, or the perturbation mean."),
    Term("Batch", "", "Cells that were processed together. Batches differ for technical reasons."),
    Term("Bundle", "", "The organisers' files of one phase: control cells of each context, genes and targets."),
    Term(
        "Ceiling",
        "",
        "How well one half of the real cells predicts the other half. It is measured on half the cells, so it is "
        "too low for perturbations with few cells, and a good model can pass it.",
    ),
    Term("Checkpoint", "", "The state of a training at one step, from which it can resume."),
    Term(
        "Confidence",
        "",
        "How well the effects of the training genes that are nearest to a target predict each other, as a correlation. "
        "It is of what is known, not of the model.",
    ),
    Term("Context", "cell line, cell type", "What cells have in common besides the perturbation."),
    Term("Control", "non-targeting cell", "A cell whose guide silences no gene. Effects are relative to controls."),
    Term("Coverage", "", "Which perturbations a model has knowledge of, such as a gene embedding."),
    Term("DEG", "differentially expressed gene", "A gene whose expression differs from controls at FDR < 0.05."),
    Term(
        "Delta",
        "effect, log fold change of the pseudobulk",
        "Pseudobulk of a perturbation minus that of the controls, gene by gene, in log1p units.",
    ),
    Term("Depth", "library size", "The number of UMIs of a cell."),
    Term("DES", "differential expression score", "Share of the real DEGs that the predicted cells recover (2025)."),
    Term("Effect size", "", "Length (Euclidean norm) of a delta over all genes."),
    Term("Embedding", "", "A vector for each gene (or cell) in which similar ones lie close together."),
    Term("FDR", "false discovery rate", "Expected share of false calls among the genes called (Benjamini-Hochberg)."),
    Term("Guide", "sgRNA", "The RNA that directs the silencing to a gene. Most genes have two or more."),
    Term("HVG", "highly variable gene", "A gene that varies more between cells than its mean explains."),
    Term(
        "Index",
        "",
        "What one pass over a data file computes: sums, pseudobulks, DEGs and a copy of the counts by gene. All "
        "pages read it.",
    ),
    Term("Knock-down", "", "How far the expression of the targeted gene fell: 90 % means that a tenth is left."),
    Term("log1p", "", "Natural logarithm of one plus the count, after every cell was scaled to the same depth."),
    Term("MAE", "mean absolute error", "Mean difference of predicted and real pseudobulk over all genes; 0 is best."),
    Term(
        "PDS",
        "perturbation discrimination score",
        "How close a prediction is to its own real effect compared with "
        "those of all other perturbations. 1 is best, 0.5 is chance.",
    ),
    Term("Perfect", "", "The score that the true means would get against the measured cells."),
    Term("Perturbation", "", "The silencing of one gene or of a pair, and the cells it was done to."),
    Term("Perturbation mean", "", "The average effect of the training perturbations, predicted for every gene."),
    Term("Phase", "", "A part of a season with targets, contexts and dates of its own, such as validation and final."),
    Term("Pseudobulk", "", "Mean log1p expression of all cells of a perturbation, gene by gene."),
    Term("Reliability", "", "Correlation between the deltas of two random halves of the cells, extrapolated to all."),
    Term("Repeat", "", "The score that a second experiment of as many cells would get as a prediction of the first."),
    Term("Run", "", "One model trained on one split, with its predictions and scores."),
    Term("Season", "", "One year of the Virtual Cell Challenge, or another contest, with its own rules and metrics."),
    Term("Signature", "", "Which genes go up and down, by how much, as in a disease or between two groups of cells."),
    Term("Specific effect", "", "What is left of a delta without what lies along the mean effect of its library."),
    Term(
        "Split",
        "",
        "Which perturbations a model trains on (train), is tuned on (validation) and is judged on (test).",
    ),
    Term("Submission", ".vcc", "Predicted cells of a season's perturbations, checked and packaged for upload."),
    Term("Target", "target gene", "The gene that a perturbation silences."),
    Term("UMI", "unique molecular identifier", "A count of one RNA molecule of a cell."),
)


def find_terms(sought: str = "") -> list[Term]:
    """The terms that contain a text, in any case; all where it is empty."""
    return [term for term in GLOSSARY if sought.lower() in " ".join(term).lower()]
