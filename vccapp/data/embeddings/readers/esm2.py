"""STATE's perturbation features: a `.pt` file of a dict of gene symbol to 1-d tensor, e.g. ESM2_pert_features.pt."""

from pathlib import Path

import numpy as np

from vccapp.data.embeddings.readers.base import READERS, Reader
from vccapp.data.embeddings.readers.genept import stack_vectors
from vccapp.errors import DataError
from vccapp.wording import reason_text


@READERS.register("esm2")
class TensorDict(Reader):
    label = ".pt dict of tensors (ESM2 features)"

    def recognises(self, path: Path, head: bytes) -> bool:
        return path.suffix in {".pt", ".pth"}

    def read(self, path: Path) -> tuple[list[str], np.ndarray]:
        """Genes, and their vectors (n, d). torch reads tensors alone (weights_only), so no code of the file is run."""
        import torch

        try:
            vectors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = reason_text(error)
            raise DataError(
                "not_tensors",
                f"{path.name}: it does not hold plain tensors ({reason})",
                fix="save a dict of gene symbol to tensor",
            ) from None
        if isinstance(vectors, dict):
            vectors = {gene: v.float().numpy() if isinstance(v, torch.Tensor) else v for gene, v in vectors.items()}
        return stack_vectors(vectors, name=path.name)
