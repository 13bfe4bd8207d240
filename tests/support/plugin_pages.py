"""What the pages show where the example plug-ins are installed, as JSON: run as a script, in a process that sees them.

python plugin_pages.py VECTORS          # a file of gene vectors that only a plug-in reads
"""

import json
import sys
from pathlib import Path
from typing import Any

import vccapp_example
from page_kit import assert_well, commands_of, open_alone, type_option
from places import ROOT
from streamlit.testing.v1 import AppTest

LOSS = "C1 + 0.5*spread"
PAGE = Path(vccapp_example.__file__).with_name("markers.py")


def command_of(page: AppTest, *begin: str) -> list[str]:
    return next(words for words in commands_of(page) if words[: len(begin)] == list(begin))


def train_form(vectors: str) -> dict[str, Any]:
    """A model with gene vectors that a reader of the plug-in reads, and a loss, chosen as people do."""
    page = open_alone("train")
    models = page.selectbox(key="train_model").options
    page.selectbox(key="train_model").set_value("nearest").run()
    page.number_input(key="train_nearest_share").set_value(0.25)
    type_option(page, "train_nearest_embedding", vectors).run()
    type_option(page, "train_nearest_embedding", vectors)
    page.button(key="train_start").click().run()
    type_option(page, "train_nearest_embedding", vectors).run()
    assert_well(page)
    network = open_alone("train")
    network.selectbox(key="train_model").set_value("state").run()
    type_option(network, "train_state_loss", LOSS).run()
    assert_well(network)
    loss = network.selectbox(key="train_state_loss")
    return {
        "models": models,
        "model": command_of(page, "vccapp", "train", "start"),
        "help": loss.help,
        "loss": command_of(network, "vccapp", "train", "start"),
    }


def scores() -> dict[str, Any]:
    """The metric and the scorer."""
    page = open_alone("scores")
    page.multiselect(key="scores_metrics_pseudobulks_raw").set_value(["sign_share"]).run()
    page.session_state["scores_official"] = True
    page.run()
    page.selectbox(key="official_scorer").set_value("squared").run()
    assert_well(page)
    return {
        "metrics": page.multiselect(key="scores_metrics_pseudobulks_raw").value,
        "charts": [chart.proto.alt for chart in page.get("vega_lite_chart")],
        "scorer": command_of(page, "vccapp", "eval", "official"),
    }


def added_page() -> dict[str, Any]:
    """The page of the plug-in, within the app."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page(str(PAGE)).run()
    assert_well(app)
    app.multiselect(key="markers_genes").set_value(["MYC"]).run()
    assert_well(app)
    [chart] = app.get("vega_lite_chart")
    return {"title": app.title[0].value, "chart": chart.proto.alt}


def main() -> None:
    submit = open_alone("submit", sub_open="p (practice)")
    assert_well(submit)
    found = {"train": train_form(sys.argv[1]), "scores": scores(), "page": added_page()}
    print(json.dumps(found | {"submit": [text.value for text in submit.markdown]}))


if __name__ == "__main__":
    main()
