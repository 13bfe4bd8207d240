"""Usual names of obs columns, by what the columns hold."""

# Names are compared in lower case without punctuation; earlier ones win.
PERTURBATION_NAMES = (
    *("targetgene", "perturbation", "gene", "condition", "genetarget", "perturbedgene", "targetgenename"),
    *("perturbationname", "perturbationgene", "pert", "pertgene", "pertname", "target", "guidetarget", "genotype"),
)
GUIDE_NAMES = (
    *("guideid", "guide", "sgrna", "sgrnaid", "grna", "grnaid", "guideidentity", "guidename", "guidecall"),
    *("protospacer", "sgid", "sgidab", "featurecall"),
)
BATCH_NAMES = (
    *("batch", "batchvar", "batchid", "gemgroup", "lane", "replicate", "rep", "plate", "donor", "channel", "library"),
    *("libraryid", "sample", "sampleid", "run", "experiment", "origident"),
)
CONTEXT_NAMES = (
    *("context", "cellline", "cellcontext", "line", "celltype", "cellstate", "condition", "stimulation", "stimulus"),
    *("stim", "treatment", "donor", "donorid", "individual", "patient", "timepoint", "time", "day", "hour", "tissue"),
    *("organism", "species", "genotype", "strain", "origin"),
)
NO_CONTEXT_NAMES = ("phase", "leiden", "louvain", "cluster", "clusters", "seuratclusters", "perturbationtype")
"""Of columns that vary within a context, such as the phase of the cell cycle."""
