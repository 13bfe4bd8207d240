"""Names that are Markdown, HTML and links, in data, titles and links, on every page of a real Chromium.

The browser is told to disregard the server's policy, so that what is shown here is the escape alone: it asks no other
address, runs nothing, and shows no link that leads away.
"""

import ast
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from browser import SECOND, Server, need_chromium, open_browser, settle
from places import ROOT
from playwright.sync_api import Page
from toy import make_counts

from vccapp.cli import main
from vccapp.models.base import MODELS
from vccapp.settings import Settings
from vccapp.ui.kit.frame import HOME, read_pages

pytestmark = pytest.mark.browser

NAMES = [
    "![x](http://evil.example/x.gif)",
    '<img src="http://evil.example/y.gif" onerror="window.harmed = 1">',
    "[click](https://evil.example)",
    '<a href="https://evil.example">b</a>',
    "https://evil.example/a www.evil.example me@evil.example",
    ":material/delete: :red[x] $\\frac{a}{b}$ **b** `c` <script>window.harmed = 1</script>",
    "[r][r]\n\n[r]: https://evil.example\n\n# head\n\n- item",
]
HOSTILE = " ".join(NAMES)
FILE = "[c](mailto:a@evil.example) www.evil.example <img src=x> ![x](x.gif) $a$ :material-x:.h5ad"
PREFIXES = {
    "over": "",
    "context": "",
    "data": "data",
    "gene": "genes",
    "pert": "perturbations",
    "sim": "similarity",
    "split": "splits",
    "train": "train",
    "embed": "train",
    "runs": "runs",
    "sweep": "sweeps",
    "cmp": "compare",
    "cal": "compare",
    "tgt": "targets",
    "scores": "scores",
    "official": "scores",
    "entered": "scores",
    "sub": "submit",
    "ledger": "ledger",
    "jobs": "jobs",
    "glossary": "glossary",
    "settings": "settings",
}
FOUND = """() => {
    const own = location.origin;
    const away = (url) => !url.startsWith(own) && !url.startsWith('data:') && !url.startsWith('blob:');
    const main = [...document.querySelectorAll('a[href], img, iframe, video, audio, object, embed, image')];
    const urls = main.map((e) => String(e.href?.baseVal ?? e.href ?? e.src ?? e.data ?? ''));
    const marks = [...document.querySelectorAll('.katex, [data-testid=stMarkdownContainer] h2')];
    return [...urls.filter(away), ...marks.map((e) => e.outerHTML.slice(0, 80)), ...(window.harmed ? ['script'] : [])];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A workspace in which everything that can have a name has a hostile one."""
    need_chromium()
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "data").mkdir()
    settings = Settings(home=folder / "workspace", checkpoints=folder / "checkpoints", data_roots=(folder / "data",))
    cells = make_counts(n_cells=400, n_genes=80, n_perturbations=8)
    labels = {f"GENE{i}": name for i, name in enumerate(NAMES)} | {"non-targeting": f"control {HOSTILE}"}
    cells.var_names = [labels.get(name, name) for name in cells.var_names]
    cells.obs["target_gene"] = cells.obs["target_gene"].replace(labels)
    cells.obs["guide_id"] = [f"{label}_{i % 2}" for i, label in enumerate(cells.obs["target_gene"])]
    cells.obs["batch"] = [NAMES[i % 3] for i in range(cells.n_obs)]
    file = folder / "data" / FILE
    cells.write_h5ad(file)
    columns = ["--perturbation-column", "target_gene", "--guide-column", "guide_id", "--batch-column", "batch"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("HOME", settings.home),
            ("CHECKPOINTS", settings.checkpoints),
            ("DATA_ROOTS", file.parent),
        ):
            patch.setenv(f"VCCAPP_{name}", str(value))
        run("data", "index", file, *columns, "--control-label", labels["non-targeting"])
        run("split", "make", file, "--name", "first")
        for title in (NAMES[0], HOSTILE):
            run("train", "start", "perturbation_mean", "--split", "first", "--title", title)
        run("eval", "entered", "add", "--season", "2025", "--score", "des=0.1", "--note", HOSTILE)
        run("submit", "plan", "--run", "latest", "--practice", "--name", "mine")
    server = Server(settings)
    server.start()
    yield server
    server.kill()


def run(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code in (None, 0), words


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    with open_browser(bypass_csp=True) as page:
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("dialog", lambda dialog: page.asked.append(f"dialog {dialog.message}"))
        yield page


def look(page: Page, server: Server, path: str, **params: str) -> None:
    """Open a page, and find nothing that a hostile name could have made."""
    page.asked.clear()
    page.goto(f"{server.url}/{path}?{urlencode(params)}")
    page.get_by_test_id("stMain").locator("h1").wait_for()
    settle(page)
    check(page, server)


def check(page: Page, server: Server) -> None:
    assert [url for url in page.asked if not url.startswith((server.url, "data:", "blob:", "ws://127.0.0.1"))] == []
    assert page.evaluate(FOUND) == []
    assert page.get_by_test_id("stException").count() == 0


@pytest.mark.parametrize("name", [record.path.stem for record in read_pages()])
def test_hostile_names_on_every_page(name: str, page: Page, server: Server) -> None:
    look(page, server, "" if name == HOME else name)
    tabs = page.get_by_test_id("stMain").get_by_role("tab")
    for number in range(tabs.count()):
        tabs.nth(number).click()
        settle(page)
        check(page, server)
    for box in page.get_by_test_id("stMain").get_by_test_id("stExpander").locator("summary").all():
        box.click()
        settle(page)
        check(page, server)
    for mark in page.get_by_test_id("stMain").get_by_test_id("stTooltipIcon").all()[:10]:
        if mark.is_visible():  # not in what the click above has closed
            mark.hover()
    check(page, server)


def test_the_names_are_there(page: Page, server: Server) -> None:
    """What is looked for above was drawn: else nothing would have been shown by finding nothing."""
    look(page, server, "jobs")
    assert page.get_by_test_id("stMain").get_by_text("[click](https:").count()
    look(page, server, "")
    page.locator("summary", has_text="How the file was read").click()
    page.get_by_test_id("stTable").get_by_text("[c](mailto:").first.wait_for()
    check(page, server)


def link_keys() -> list[str]:
    """The parameters of links that pages read: keys of widgets that are bound to the address, and what is asked for."""
    keys = {"data"}
    for path in [*(ROOT / "pages").glob("*.py"), *(ROOT / "vccapp" / "ui").rglob("*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call):
                words = {word.arg: word.value for word in call.keywords}
                key = words.get("key")
                bound = "bind" in words or ast.unparse(call.func).endswith(("choose_one", "pick_run", "pick_runs"))
                if bound and isinstance(key, ast.Constant):
                    keys.add(key.value)
    keys |= {f"scores_{name}s" for name in ("model", "split")}
    keys |= {f"data_{name}" for name in ("perturbation", "guide", "batch", "context", "control")}
    return sorted(keys)


def test_link_keys_are_found_in_the_code() -> None:
    assert {"data", "data_path", "pert", "cmp_runs", "cmp_genes", "scores_part", "over_by"} <= set(link_keys())
    assert not [key for key in link_keys() if key not in PREFIXES and key.partition("_")[0] not in PREFIXES]


@pytest.mark.parametrize("key", link_keys())
def test_a_hostile_value_in_every_link_key(key: str, page: Page, server: Server) -> None:
    path = "" if key == "data" else PREFIXES[key.partition("_")[0]]
    look(page, server, path, **{key: HOSTILE})


def test_hostile_values_in_all_keys_of_a_form(page: Page, server: Server) -> None:
    for model, kind in MODELS.items():
        if kind.trainable:
            fields = {f"train_{model}_{field}": NAMES[2] for field in kind.Spec.model_fields}
            look(page, server, "train", train_model=kind.label, **fields)


def test_paths_in_links(page: Page, server: Server) -> None:
    for path in (
        server.settings.data_roots[0] / FILE,
        "[Your session expired, click](https://evil.example)",
        "~x/\x1b",
    ):
        look(page, server, "data", data_path=str(path))
        page.wait_for_timeout(SECOND / 2)
        check(page, server)


def test_the_policy_of_the_server_keeps_even_a_script_here(page: Page, server: Server) -> None:
    obeying = page.context.browser.new_page()
    obeying.goto(server.url)
    settle(obeying)
    blocked = obeying.evaluate(
        "() => new Promise((done) => { addEventListener('securitypolicyviolation', (e) => done(e.blockedURI));"
        " document.body.append(Object.assign(new Image(), {src: 'http://evil.example/x.gif'})) })"
    )
    obeying.close()
    assert blocked == "http://evil.example/x.gif"
