"""The labels of an obs column as perturbations: controls, genes, pairs, and cells to leave out.

    reading = read_labels(cells, names, choice)      # cells : label -> number of cells, in the file's order
    reading.mapping["stat1 "]                        # "STAT1"; None: its cells are left out

The same for data, predictions and submissions. Everything that is changed or left out has a line in `notes`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from vccapp.data.names.controls import (
    CONTROL_LABELS,
    control_family,
    is_other_control,
    is_without_call,
    matches,
)
from vccapp.data.names.genes import GeneNames
from vccapp.data.schema import CONTROL, Columns, genes_of
from vccapp.errors import DataError
from vccapp.wording import name_some

SEPARATORS = ("+", "||", "|", ";", ",", "/", "&", "__", "_", " ")
"""Between two genes of a label, tried in this order. All but + divide only where every part is a gene or a control."""
NO_SEPARATOR = "none"
GUIDE_SHARE = 0.5
"""Share of the labels that must begin with the name of a gene for a column to be read as one of guides."""
_STRAND = re.compile(r"[_:|(\-.]\+(?=[_:|)\-.]|$)")
_PREFIX = re.compile(r"^(?:sg|sh|g|guide|grna|sgrna)[-_.]?(?=[A-Za-z])", re.IGNORECASE)

Kind = Literal["control", "gene", "pair", "guide", "no call", "left out", "other control", "unknown"]


class Meaning(NamedTuple):
    """label : canonical, None where its cells are left out"""

    label: str | None
    kind: Kind


@dataclass(frozen=True)
class Reading:
    """What the labels of a column mean.

    meanings : of each label of the file; cells : their numbers of cells; controls : the labels that are the control
    """

    meanings: dict[str, Meaning]
    cells: Mapping[str, int]
    controls: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def mapping(self) -> dict[str, str | None]:
        return {name: meaning.label for name, meaning in self.meanings.items()}

    def of_kind(self, *kinds: Kind) -> list[str]:
        return [name for name, meaning in self.meanings.items() if meaning.kind in kinds]

    def count(self, *kinds: Kind) -> int:
        """Cells whose labels are of these kinds."""
        return sum(self.cells[name] for name in self.of_kind(*kinds))


def find_controls(cells: Mapping[str, int], names: GeneNames, wanted: Sequence[str] | None) -> list[str]:
    """The labels of the control, most cells first: those that `wanted` names, or all of the best family; none found: []

    A label that is a gene of the file is the control only where no other is.
    """
    if wanted is not None:
        found = [label for label in cells if matches(label, wanted) or matches(label.strip(), wanted)]
        return sorted(found, key=lambda label: -cells[label])
    families: dict[str, list[str]] = {}
    for label in cells:
        if family := control_family(label):
            families.setdefault(family, []).append(label)
    if not families:
        return []

    def order(family: str) -> tuple[bool, int, int]:
        labels = families[family]
        return all(x in names for x in labels), CONTROL_LABELS.index(family), -sum(cells[x] for x in labels)

    best = families[min(families, key=order)]
    chosen = [label for label in best if label not in names] or best
    return sorted(chosen, key=lambda label: (-cells[label], label))


def read_labels(cells: Mapping[str, int], names: GeneNames, choice: Columns, *, column: str) -> Reading:
    """What every label means. Raises DataError where none is the control."""
    controls = find_controls(cells, names, choice.controls)
    if not controls:
        raise refuse_controls(cells, names, choice.controls, column=column)
    family = {found for label in controls if (found := control_family(label))}
    separators = SEPARATORS if choice.pairs is None else () if choice.pairs == NO_SEPARATOR else (choice.pairs,)
    reader = _Reader(names, frozenset(controls), frozenset(family), separators, given=choice.pairs is not None)
    meanings = {label: reader.read(label, choice) for label in cells}
    if choice.guides != "apart":
        meanings = _pool_guides(meanings, reader)
    meanings = _join_variants(meanings, cells)
    meanings = _join_orders(meanings, cells)
    reading = Reading(meanings, cells, tuple(controls), ())
    return replace(reading, notes=tuple(_notes(reading, reader)))


def refuse_controls(
    cells: Mapping[str, int], names: GeneNames, wanted: Sequence[str] | None, *, column: str
) -> DataError:
    """No label is the control: the labels that could be are shown first."""
    likely = sorted(cells, key=lambda x: (names.find(x) is not None, is_without_call(x), -cells[x], x))
    no_genes = [label for label in likely if names.find(label) is None]
    shown = f"it holds {name_some(likely)}"
    if names.genes and 0 < len(no_genes) < len(likely):
        shown = f"no genes: {name_some(no_genes)}; genes: {name_some(likely[len(no_genes) :], 3)}"
    missing = "no control label such as non-targeting, NT, control or ctrl"
    if wanted is not None:
        missing = f"no label '{name_some(wanted)}' for the controls"
    return DataError(
        "no_control_label",
        f"obs column '{column}' holds {missing} ({shown})",
        found=likely,
        fix="name the control label or another column",
    )


class _Reader:
    """Reads one label after another; what it met is in `used`, `halves`, `unsure`."""

    def __init__(
        self,
        names: GeneNames,
        controls: frozenset[str],
        families: frozenset[str],
        separators: Sequence[str],
        *,
        given: bool,
    ) -> None:
        self.names = names
        self.controls = controls
        self.families = families
        self.separators = separators
        self.given = given
        self.used: dict[str, str] = {}  # separator: an example
        self.halves: dict[str, str] = {}
        self.genes_like_controls: list[str] = []

    def read(self, label: str, choice: Columns) -> Meaning:
        text = label.strip()
        if label in self.controls:
            return Meaning(CONTROL, "control")
        if matches(text, choice.leave_out):
            return Meaning(None, "left out")
        if text == CONTROL:
            return Meaning(f"{CONTROL} (in file)", "other control")
        if text in self.names:
            return Meaning(text, "gene")
        if control_family(text):
            return Meaning(text, "other control")
        if is_without_call(text) and not matches(text, choice.keep):
            return Meaning(None, "no call")
        if is_other_control(text):
            return Meaning(text, "other control")
        if "+" in self.separators and (pair := self._divide(text, "+")):
            return pair
        if found := self.names.find(text):
            return Meaning(found.gene, "gene")
        return self._divide_any(text) or Meaning(_without_strand(text), "unknown")

    def _divide_any(self, text: str) -> Meaning | None:
        """By the first separator, other than +, that fits."""
        return next((pair for sign in self.separators if sign != "+" and (pair := self._divide(text, sign))), None)

    def _divide(self, text: str, sign: str) -> Meaning | None:
        if sign not in text or (sign == "+" and _STRAND.search(text)):
            return None
        parts = [part.strip() for part in text.split(sign)]
        if not all(parts):
            return None
        genes: list[str] = []
        halves = 0
        for part in parts:
            family = control_family(part)
            if family and (family in self.families or part not in self.names) and not self._is_gene(part):
                halves += 1
                continue
            if part in self.names and family:
                self.genes_like_controls.append(text)
            found = self.names.find(part)
            if found is None and (inner := self._divide_any(part)):
                genes += (inner.label or "").split("+")
                continue
            if found is None and not (sign == "+" or self.given):
                return None
            genes.append(found.gene if found else part)
        if not genes:
            return None
        genes = list(dict.fromkeys(genes))
        if halves:
            self.halves[text] = "+".join(genes)
        if len(genes) == 1:
            return Meaning(genes[0], "gene")
        self.used.setdefault(sign, text)
        return Meaning("+".join(genes), "pair")

    def _is_gene(self, part: str) -> bool:
        """Whether a part that reads like a control is a gene of the file, and no label of the control is called so."""
        return part in self.names and part not in self.controls

    def gene_part(self, text: str) -> str | None:
        """The gene that the name of a guide begins with."""
        text = text.strip()
        ends = [match.start() for match in re.finditer(r"[-_.:|;,@# ]|g\d+$", text)]
        for begin in dict.fromkeys((0, match.end() if (match := _PREFIX.match(text)) else 0)):
            for end in (*reversed(ends), *([] if begin == 0 else [len(text)])):
                part = text[begin:end]
                if part and (found := self.names.find(part)) and found.way != "alias":
                    return found.gene
        return None


class KnownLabels:
    """The perturbations of a dataset, under the names that other files give them.

    'STAT1+ctrl', 'ctrl+STAT1', 'STAT1-2' (a guide), 'stat1' and, for 'A+B', 'B+A' and 'A_B' are found.
    """

    def __init__(self, known: Iterable[str], genes: Sequence[str] = (), *, control: str | None = None) -> None:
        """known : labels; genes : of the dataset; control : the other file's own label, None: any usual one"""
        self.labels = set(known) - {CONTROL}
        self.control = control
        single = {gene for label in self.labels for gene in genes_of(label)}
        self._orders = {frozenset(genes_of(label)): label for label in self.labels}
        names = GeneNames([*sorted(single), *(gene for gene in genes if gene not in single)])
        controls = frozenset(() if control is None else (control,))
        families = frozenset(family for label in controls if (family := control_family(label)))
        self._reader = _Reader(names, controls, families, SEPARATORS, given=False)

    def find(self, text: str) -> str:
        """The dataset's label, CONTROL, or where there is none the text without its controls."""
        if text == self.control or (self.control is None and text not in self.labels and control_family(text)):
            return CONTROL
        if text in self.labels:
            return text
        meaning = self._reader.read(text, Columns(keep=("*",)))
        label = meaning.label or text.strip()
        if label not in self.labels:
            label = self._orders.get(frozenset(genes_of(label)), label)
        if label not in self.labels and (part := self._reader.gene_part(text)) in self.labels:
            return part
        return label


def _without_strand(text: str) -> str:
    """A label of one perturbation without the + that would read as a pair."""
    return text.replace("+", "plus") if _STRAND.search(text) else text


def _pool_guides(meanings: dict[str, Meaning], reader: _Reader) -> dict[str, Meaning]:
    """Labels that are guides as their genes, where most labels are."""
    unknown = [name for name, meaning in meanings.items() if meaning.kind == "unknown"]
    known = sum(meaning.kind in ("gene", "pair") for meaning in meanings.values())
    parts = {name: part for name in unknown if (part := reader.gene_part(name))}
    if not parts or len(parts) < GUIDE_SHARE * (len(unknown) + known):
        return meanings
    return meanings | {name: Meaning(part, "guide") for name, part in parts.items()}


def _join_variants(meanings: dict[str, Meaning], cells: Mapping[str, int]) -> dict[str, Meaning]:
    """Labels that differ by case and spaces only, and name no gene, as the one of them that has most cells."""
    groups: dict[str, list[str]] = {}
    for name, meaning in meanings.items():
        if meaning.kind in ("unknown", "other control") and meaning.label:
            groups.setdefault(" ".join(meaning.label.split()).casefold(), []).append(name)
    joined = dict(meanings)
    for group in groups.values():
        best = meanings[max(group, key=lambda name: (cells[name], name == name.strip()))]
        joined.update(dict.fromkeys(group, best))
    return joined


def _join_orders(meanings: dict[str, Meaning], cells: Mapping[str, int]) -> dict[str, Meaning]:
    """B+A as A+B where the file has both: the order that more cells have, else the first."""
    totals: Counter[str] = Counter()
    for name, meaning in meanings.items():
        if meaning.kind == "pair" and meaning.label:
            totals[meaning.label] += cells[name]
    orders = join_orders(totals)
    return {
        name: meaning._replace(label=orders.get(meaning.label, meaning.label)) if meaning.label else meaning
        for name, meaning in meanings.items()
    }


def join_orders(cells: Mapping[str, int]) -> dict[str, str]:
    """Of perturbations of the same genes in several orders: which one all are called; the others are left out."""
    groups: dict[frozenset[str], list[str]] = {}
    for label in cells:
        if "+" in label:
            groups.setdefault(frozenset(label.split("+")), []).append(label)
    best = {key: max(group, key=lambda label: cells[label]) for key, group in groups.items()}
    return {label: best[key] for key, group in groups.items() for label in group if label != best[key]}


def _notes(reading: Reading, reader: _Reader) -> list[str]:
    cells, notes = reading.cells, []

    def some(labels: Sequence[str], show: Callable[[str], str] | None = None) -> str:
        """Labels with their cells, none of them cut short."""
        ordered = sorted(labels, key=lambda x: (-cells[x], x))
        shown = ", ".join(f"'{name_some([x])}' ({cells[x]:,} cells)" if show is None else show(x) for x in ordered[:5])
        return shown + (f" and {len(labels) - 5:,} more" if len(labels) > 5 else "")

    if len(reading.controls) > 1:
        notes.append(
            f"{len(reading.controls):,} labels are pooled as the control '{CONTROL}': {some(reading.controls)}."
        )
    elif reading.controls[0] != CONTROL:
        notes.append(f"Control cells are labelled '{reading.controls[0]}' in the file and shown as '{CONTROL}'.")
    if others := reading.of_kind("other control"):
        notes.append(
            f"'{reading.controls[0]}' ({cells[reading.controls[0]]:,} cells) is used as the control; these look like "
            f"controls too and are kept as perturbations: {some(others)}. Name them as control labels to pool them, or "
            "leave them out."
        )
    if no_call := reading.of_kind("no call"):
        notes.append(
            f"{reading.count('no call'):,} cells without a call are left out: {some(no_call)}. Keep a label to train "
            "on it."
        )
    if left_out := reading.of_kind("left out"):
        notes.append(f"{reading.count('left out'):,} cells are left out as chosen: {some(left_out)}.")
    if reader.halves:
        example = next(iter(reader.halves))
        notes.append(
            f"{len(reader.halves):,} labels that join a gene and a control are read as the gene: '{example}' as "
            f"'{reader.halves[example]}'."
        )
    notes += _note_pairs(reading, reader)
    notes += _note_guides(reading)
    renamed = {
        name: meaning.label
        for name, meaning in reading.meanings.items()
        if meaning.kind in ("gene", "unknown", "other control")
        and meaning.label not in (name, None, f"{CONTROL} (in file)")
        and name not in reader.halves
    }
    if renamed:
        shown = some(list(renamed), lambda name: f"'{name_some([name])}' as '{renamed[name]}'")
        notes.append(f"{len(renamed):,} labels are read under another name: {shown}.")
    return notes


def _note_pairs(reading: Reading, reader: _Reader) -> list[str]:
    notes = []
    pairs = dict.fromkeys(meaning.label for meaning in reading.meanings.values() if meaning.kind == "pair")
    if pairs:
        notes.append(f"{len(pairs):,} perturbations target two or more genes, such as '{next(iter(pairs))}'.")
    for sign, example in reader.used.items():
        if sign != "+":
            notes.append(f"'{sign}' joins two genes in labels such as '{example}'.")
    turned = [
        (name, meaning.label)
        for name, meaning in reading.meanings.items()
        if meaning.kind == "pair" and meaning.label and "+" in name and name != meaning.label
        if (parts := [part.strip() for part in name.split("+")]) != meaning.label.split("+")
        and set(parts) == set(meaning.label.split("+"))
    ]
    if turned:
        notes.append(
            f"{len(turned):,} labels name the genes of a pair in the other order: '{turned[0][0]}' is '{turned[0][1]}'."
        )
    if reader.genes_like_controls:
        notes.append(
            f"'{reader.genes_like_controls[0]}' names a gene of the file that reads like a control, so it is kept as "
            "a pair."
        )
    known = {name for name, meaning in reading.meanings.items() if meaning.kind in ("gene", "unknown")}
    odd = [
        name
        for name in reading.of_kind("unknown")
        if len(parts := re.split(r"[_|,;/&]", name)) == 2 and set(parts) <= known
    ]
    if odd:
        notes.append(
            f"{len(odd):,} labels such as '{odd[0]}' look like two genes but are read as one; write two genes as "
            "'A+B' or give the separator."
        )
    return notes


def _note_guides(reading: Reading) -> list[str]:
    notes = []
    if guides := reading.of_kind("guide"):
        notes.append(
            f"{len(guides):,} labels are guides and are read as their genes: '{guides[0]}' as "
            f"'{reading.meanings[guides[0]].label}'. Guides can be kept apart instead."
        )
    strands = [name for name in reading.of_kind("unknown") if _STRAND.search(name)]
    if strands:
        notes.append(
            f"{len(strands):,} labels hold a strand, not a pair: '{strands[0]}' is shown as "
            f"'{reading.meanings[strands[0]].label}'."
        )
    return notes


def split_names(labels: Sequence[str]) -> list[str]:
    """Everything in the labels that may be the name of a gene."""
    parts = {part for label in labels for part in (label.strip(), *re.split(r"[+|;,/&_ ]+", label.strip()))}
    return sorted(part for part in parts if part and not control_family(part))
