"""vccapp: from perturb-seq cells to a checked Virtual Cell Challenge submission.

    import vccapp
    dataset = vccapp.open_dataset("cells.h5ad")

The names of the Python API stand in `__init__.pyi`; docs/api.md shows them in use. Each is imported when it is first
used, so `import vccapp` is cheap. The package knows no Streamlit outside `vccapp.ui`.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
