"""The views of the page Targets. Each returns its commands."""

import shlex

import streamlit as st

from vccapp.errors import VccAppError
from vccapp.evaluation.targets.gene_by_gene import view_genes
from vccapp.evaluation.targets.library import Library
from vccapp.evaluation.targets.own_table import join_own, read_own_table
from vccapp.evaluation.targets.ranking import Goal, Ranking, explain_method, rank_targets
from vccapp.evaluation.targets.signature import Signature
from vccapp.evaluation.targets.unmeasured import Unmeasured, rank_unmeasured
from vccapp.evaluation.targets.validation import Recovery, measure_known, measure_recovery
from vccapp.figures import targets as figures
from vccapp.stats.index import Index
from vccapp.ui.kit.context import current_context
from vccapp.ui.kit.downloads import show_csv_button
from vccapp.ui.kit.frame import errors_shown
from vccapp.ui.kit.loaders import cached
from vccapp.ui.kit.show import MAX_SENT, show_chart, show_table
from vccapp.ui.targets.choice import Choice
from vccapp.wording import name_some, plain

GENE_VIEW = "Gene by gene"


@cached(max_entries=8, show_spinner="Ranking")
def load_ranking(index: Index, mark: str, goal: Goal, _signature: Signature, _libraries: list[Library]) -> Ranking:
    """mark : of signature and libraries"""
    return rank_targets(_signature, _libraries, goal=goal)


@cached(max_entries=8, show_spinner="Looking for each half of the cells")
def load_recovery(index: Index, context: str | None, _library: Library) -> Recovery:
    return measure_recovery(index, _library)


@cached(max_entries=4, show_spinner="Ranking predicted effects")
def load_unmeasured(
    index: Index, mark: str, goal: Goal, _libraries: list[Library], _signature: Signature | None
) -> Unmeasured:
    return rank_unmeasured(_libraries, signature=_signature, goal=goal)


def show_ranking_of_targets(chosen: Choice) -> list[str]:
    """All perturbations by how far they reverse or mimic the signature."""
    if (ranking := _rank(chosen)) is None:
        return [chosen.command("rank", *chosen.run_words())]
    signature, words = chosen.signature, chosen.run_words()
    assert signature is not None
    found = ", ".join(f"{row.found:,} of {row.signature_genes:,}" for row in ranking.libraries.itertuples())
    st.caption(f"Genes of the signature that the library measures: {found}. Choose a row to see it gene by gene.")
    targets = ranking.targets
    left, right = st.columns(2)
    known = left.text_input(
        "Known regulators",
        key="tgt_known",
        bind="query-params",
        placeholder="MYC, TP53: how far in front are they?",
        help="Genes that you know to drive the signature. AUROC 0.5 is chance, 1 is all of them in front.",
    )
    if (known or "").strip():
        names = known.replace(",", " ").split()
        words += ["--known", ",".join(names)]
        with errors_shown():
            judged = measure_known(targets, names)
            for row in judged.by_kind.itertuples():
                among = f"among {row.kind} effects ({row.n_known} of {row.n:,}, p {row.p_known:.2g})"
                left.caption(plain(f"AUROC {row.auroc:.3f} {among}"))
            if judged.unknown:
                left.caption(f":orange[Not in the library: {plain(name_some(judged.unknown))}]")
    own = right.file_uploader("Your table of genes", type=["csv", "tsv"], key="tgt_own", max_upload_size=20)
    if own is not None:
        with errors_shown():
            targets = join_own(targets, read_own_table(own.getvalue().decode("utf-8", "replace")))
            words += ["--own-table", own.name]
    shown = targets.loc[:, [name for name in targets if name in ("rank", "perturbation") or targets[name].any()]]
    show_table(
        shown.head(MAX_SENT),
        key="tgt_ranking",
        text="Perturbations by the cosine of their effects with the signature",
        name="targets",
        choose=("perturbation", "tgt_pert"),
        then={"tgt_view": GENE_VIEW},
    )
    if len(shown) > MAX_SENT:
        st.caption(f"The first {MAX_SENT:,} of {len(shown):,}:")
        show_csv_button(targets, name="all_targets", key="tgt_all")
    _show_ridge(ranking)
    pairs = st.expander("Pairs", icon=":material/join:", key="tgt_pairs_box", on_change="rerun")
    if pairs.open:
        with pairs:
            st.caption("Two at once that do better than either alone, if their effects add up.")
            show_table(ranking.pairs, key="tgt_pairs", text="Pairs of perturbations by their cosine", name="pairs")
    st.caption(f"Method: {plain(explain_method(ranking, signature, goal=chosen.goal))}")
    return [chosen.command("rank", *words)]


def _show_ridge(ranking: Ranking) -> None:
    """How well effects together explain the signature."""
    told = [f"{row.ridge_r:.2f} ({row.kind})" for row in ranking.libraries.itertuples() if row.ridge_r == row.ridge_r]
    if told:
        said = f"Ridge weights explain the signature with r = {', '.join(told)} on genes that were held out"
        st.caption(plain(f"{said}; near 0 they mean nothing."))


def show_gene_by_gene(chosen: Choice) -> list[str]:
    """One perturbation: what it reverses, and what it makes worse."""
    if (ranking := _rank(chosen)) is None:
        return [chosen.command("genes", "PERTURBATION")]
    order = ranking.targets.loc[ranking.targets["cosine"].notna(), "perturbation"].tolist()
    if not order:
        st.info("No effect of the library has anything of its own.")
        return []
    if st.session_state.get("tgt_pert") not in order:
        st.session_state["tgt_pert"] = order[0]
    label = st.selectbox("Perturbation", order, key="tgt_pert", bind="query-params")
    having = {library.name: library for library in chosen.libraries() if label in library.labels}
    name = next(iter(having))
    if len(having) > 1:
        name = st.selectbox("Library", list(having), key="tgt_library", help="Several have measured it.")
    library = having[name]
    assert chosen.signature is not None
    view = view_genes(library, label, chosen.signature, goal=chosen.goal)
    own = (ranking.targets["perturbation"] == label) & (ranking.targets["run"] == library.run)
    [row] = ranking.targets[own & (ranking.targets["dataset"] == library.title)].to_dict("records")
    with st.container(horizontal=True, key="tgt_numbers"):
        st.metric("Effect", plain(library.kind))
        st.metric("Cosine", f"{row['cosine']:.3f}")
        st.metric("p", f"{row['p_random']:.2g}")
        for part in view.counts.itertuples():
            st.metric(plain(f"Genes {part.change}"), f"{part.n_genes:,}")
    left, right = st.columns(2)
    with left:
        show_chart(
            figures.gene_by_gene(view.genes, label=label, kind=library.kind),
            key="tgt_genes",
            text=f"The signature against the specific effect of {label}, one point a gene, by what becomes of it.",
            data=view.genes,
            name=f"targets_{label}",
        )
    with right:
        show_chart(
            figures.contributions(view.genes, label=label),
            key="tgt_shares",
            text=f"The genes that speak most for and against {label}.",
            data=view.genes,
            name=f"targets_{label}_contributions",
        )
    words = chosen.run_words() if library.kind == "predicted" else []
    return [chosen.command("genes", label, *words, dataset=library.dataset)]


def show_validation(chosen: Choice) -> list[str]:
    """Whether a perturbation is found by half of its cells in this library."""
    for number, library in enumerate(_open(chosen)):
        if library.kind == "predicted":
            continue
        found = load_recovery(chosen.index_of(library), library.context, library)
        [row] = found.summary.to_dict("records")
        where = f"{library.title} {library.context or ''}".strip()
        st.caption(
            f"{plain(where)}: half of a perturbation's cells (median {row['n_cells']:,.0f}) finds the other half with "
            f"an AUROC of {row['auroc']:.3f} ± {row['error']:.3f} (n = {row['n']:,}); 0.5 is chance. Both halves are "
            "against the same controls, which a signature from elsewhere is not."
        )
        show_chart(
            figures.recovery(found.perturbations, mean=row["auroc"], where=where),
            key=f"tgt_recovery_{number}",
            text=f"AUROC of each perturbation of {where} against the cells of its signature.",
            data=found.perturbations,
            name="targets_recovery",
        )
    words = ["vccapp", "targets", "recovery"]
    context = ["--context", current] if (current := current_context()) else []
    return [shlex.join([*words, "--dataset", own.fingerprint, *context]) for own in chosen.records]


def show_next(chosen: Choice) -> list[str]:
    """Genes that nobody silenced yet, by predicted effect, or by the signature."""
    if chosen.run is None:
        st.info("Choose a run under *Predicted effects too*: it predicts genes that nobody silenced in these cells.")
        return ["vccapp targets next --run latest"]
    libraries = [library for library in _open(chosen) if library.kind == "predicted"]
    if len(libraries) > 1:
        st.info("Choose one context in the sidebar.")
    elif libraries:
        signature = chosen.signature
        with errors_shown():
            view = load_unmeasured(chosen.index, chosen.mark, chosen.goal, libraries, signature)
            by = "the cosine with the signature" if signature else "predicted effect"
            st.caption(
                f"{len(view.genes):,} unmeasured genes by {by}. A predicted effect is shrunk to the mean of those that "
                "were measured: take its order with care. `vccapp targets next` with several runs adds their spread."
            )
            show_table(view.genes, key="tgt_next", text="Unmeasured genes by predicted effect", name="next_targets")
    words = ["vccapp", "targets", "next", *chosen.run_words(), *(chosen.words if chosen.signature else ())]
    words += ["--cells-of", chosen.record.fingerprint] if "--first" in words else []
    words += ["--context", context] if (context := current_context()) else []
    words += ["--goal", chosen.goal] if chosen.goal != "reverse" else []
    return [shlex.join(words)]


def _open(chosen: Choice) -> list[Library]:
    """The libraries; none, and why, where they cannot be opened."""
    try:
        return chosen.libraries()
    except VccAppError as error:
        st.error(plain(error), icon=":material/error:")
        return []


def _rank(chosen: Choice) -> Ranking | None:
    """The ranking; None, and why, where there is none."""
    if chosen.signature is None:
        st.info("Give a signature above: which genes go up, and which go down.")
        return None
    libraries = _open(chosen)
    if not libraries:
        return None
    try:
        return load_ranking(chosen.index, chosen.mark, chosen.goal, chosen.signature, libraries)
    except VccAppError as error:
        st.error(plain(error), icon=":material/error:")
        return None
