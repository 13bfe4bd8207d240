"""vccapp: from perturb-seq cells to a checked Virtual Cell Challenge submission.

The package knows no Streamlit outside `vccapp.ui`. Importing it is cheap: heavy libraries are imported by the
modules and functions that need them.
"""

__version__ = "0.2.0"
