"""The glossary is in order, says what its issue asks for, and is found by search on its page."""

from page_kit import assert_well, open_alone

from vccapp.glossary import GLOSSARY
from vccapp.settings import Settings

NEEDED = {"Perturbation", "Control", "Pseudobulk", "Delta", "DEG", "FDR", "PDS", "DES", "Ceiling", "Split", "Context"}


def test_terms_are_sorted_different_and_end_in_a_full_stop() -> None:
    words = [term.word for term in GLOSSARY]
    assert words == sorted(set(words), key=str.lower)
    assert set(words) >= NEEDED
    assert all(term.meaning.endswith(".") for term in GLOSSARY)


def test_search_narrows_the_page(settings: Settings) -> None:
    page = open_alone("glossary", glossary_search="chance")
    assert_well(page)
    assert [text.value.startswith("**PDS**") for text in page.markdown] == [True]
