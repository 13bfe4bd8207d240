"""STATE's perturbation features: a `.pt` file of a dict of gene symbol to 1-d tensor, e.g. ESM2_pert_features.pt."""

import logging
import zipfile
from pathlib import Path

import numpy as np

from vccapp.data.embeddings.readers.base import READERS, Reader, check_archive, check_total
from vccapp.data.embeddings.readers.genept import stack_vectors
from vccapp.errors import DataError
from vccapp.faults import refuse_shortage

LOG = logging.getLogger(__name__)


@READERS.register("esm2")
class TensorDict(Reader):
    label = ".pt dict of tensors (ESM2 features)"

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.suffix in {".pt", ".pth"}

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        """Genes, and their vectors (n, d). torch reads tensors alone (weights_only), so no code of the file is run."""
        import torch

        try:
            if zipfile.is_zipfile(path):
                check_archive(path)
            vectors = torch.load(path, map_location="cpu", weights_only=True)
        except DataError:
            raise
        except Exception as error:  # torch and its unpickler raise many kinds
            refuse_shortage(error, name=path.name)
            LOG.info("%s holds no plain tensors", path, exc_info=error)
            raise DataError(
                "not_tensors",
                f"{path.name}: it does not hold plain tensors",
                fix="save a dict of gene symbol to tensor",
            ) from None
        if isinstance(vectors, dict):
            check_total(4 * sum(v.numel() for v in vectors.values() if isinstance(v, torch.Tensor)), path.name)
            vectors = {gene: v.float().numpy() if isinstance(v, torch.Tensor) else v for gene, v in vectors.items()}
        return stack_vectors(vectors, name=path.name)
