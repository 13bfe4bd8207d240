"""Whatever a page says goes through `plain`, unless the code itself wrote it: looked for in the code, expression by
expression. A name from data, a link or a file can so be no link, no image and no icon on any page.
"""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from places import ROOT

from vccapp.wording import plain, plain_lines

LABELLED = {
    *("markdown", "caption", "error", "info", "warning", "success", "toast", "title", "header", "subheader", "badge"),
    *("write", "metric", "expander", "popover", "status", "spinner", "button", "download_button", "link_button"),
    *("checkbox", "toggle", "radio", "selectbox", "multiselect", "slider", "select_slider", "text_input", "text_area"),
    *("number_input", "date_input", "time_input", "file_uploader", "segmented_control", "pills", "color_picker"),
    *("form_submit_button", "tabs", "table", "chat_input", "camera_input", "page_link", "latex", "html"),
}
"""Elements whose first argument Streamlit renders as Markdown."""
SECOND = {"metric", "progress", "radio", "segmented_control", "pills", "select_slider"}
"""Those whose second is rendered as well: a value, a text, or options."""
KEYWORDS = {"help", "label", "body", "text", "delta", "caption", "captions", "description"}
ESCAPES = {"plain", "plain_lines", "plain_table", "duration_text", "bytes_text", "len", "int"}
"""Functions that give text without a name in it, or with its escape."""
NUMERIC = set("0123456789.,+defgEGF%n")
OF_THE_CODE = {
    # What pages, parameters, metrics and glossary say of themselves: written by an author, with Markdown in it or not.
    "pages/perturbations.py": {"ui.FDRS"},
    "vccapp/ui/comparison/findings.py": {"sign", "word"},
    "vccapp/ui/comparison/perturbations.py": {"title"},
    "vccapp/ui/glossary.py": {"term.word", "term.also", "term.meaning"},
    "vccapp/ui/kit/columns.py": {"meaning"},
    "vccapp/ui/kit/forms.py": {"label", "heading", "called.__getitem__"},
    "vccapp/ui/kit/frame.py": {"record.title", "record.lead + dataset_line()", "_page(record)"},
    "vccapp/ui/opening.py": {"label", "help"},
    "vccapp/ui/perturbation.py": {"rule"},
    "vccapp/ui/scores/board.py": {"title"},
    "vccapp/ui/targets/choice.py": {"label"},
    "vccapp/ui/training/choice.py": {"labels.__getitem__"},
    "vccapp/ui/kit/jobs.py": {"name", "text"},
    "vccapp/ui/kit/runs.py": {"label"},
    "vccapp/ui/runs/actions.py": {"label", "several", "help"},
    "vccapp/ui/runs/choice.py": {"title"},
    "vccapp/ui/runs/one.py": {"STATES.get(entry.state, entry.state)"},
    "vccapp/ui/runs/rows.py": {"score"},
    "vccapp/ui/sweeps/form.py": {"label"},
    "vccapp/ui/sweeps/show.py": {"badge", "n"},
    "vccapp/ui/scores/entered.py": {"field.capitalize()", "help_text", "label_metric(name)"},
}
NO_ELEMENTS = {"chosen.metrics", "''.join(traceback.format_exception(error)) + '\\n'"}
"""Arguments of functions that only share a name with an element: `rows.table`, `file.write`."""


def unsafe(source: str, allowed: Collection[str] = ()) -> Iterator[tuple[int, str]]:
    """(line, expression) of everything that reaches Markdown without an escape."""
    tree = ast.parse(source)
    scopes = {}
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.Lambda | ast.Module):
            for node in ast.walk(scope):
                scopes[node] = scope  # the innermost comes last
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _is_element(call.func):
            for given in _rendered(call):
                if not _is_safe(given, scopes.get(call, tree), {*allowed, *NO_ELEMENTS}):
                    yield given.lineno, ast.unparse(given)


def _is_element(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and (called.attr in LABELLED | SECOND or called.attr.endswith("Column"))


def _rendered(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr
    keywords = {word.arg: word.value for word in call.keywords}
    formatted = name in SECOND and "format_func" in keywords
    yield from call.args[:1] if name in LABELLED else ()
    if formatted:
        yield keywords["format_func"]
    elif name in SECOND:
        yield from call.args[1:2]
    yield from (value for word, value in keywords.items() if word in KEYWORDS)


def _is_safe(given: ast.expr, scope: ast.AST, allowed: Collection[str]) -> bool:
    if ast.unparse(given) in allowed:
        return True
    same = lambda *parts: all(_is_safe(part, scope, allowed) for part in parts)  # noqa: E731
    match given:
        case ast.Constant():
            return True
        case ast.JoinedStr(values):
            return same(*values)
        case ast.FormattedValue(value, _, ast.JoinedStr([ast.Constant(spec)])) if set(spec) <= NUMERIC:
            return True  # a text would be refused by Python
        case ast.FormattedValue(value):
            return same(value)
        case ast.BinOp(left, ast.Add(), right):
            return same(left, right)
        case ast.BinOp(ast.Constant(str()), ast.Mult()):
            return True
        case ast.IfExp(_, yes, no):
            return same(yes, no)
        case ast.BoolOp(_, values) | ast.List(values) | ast.Tuple(values):
            return same(*values)
        case ast.Call(ast.Attribute(ast.Constant(str()), "join"), [ast.Call(ast.Name("map"), [ast.Name(name), *_])]):
            return name in ESCAPES
        case ast.Call(ast.Attribute(ast.Constant(str()), "join"), [several]):
            return same(several.elt if isinstance(several, ast.GeneratorExp | ast.ListComp) else several)
        case ast.Call(ast.Name(name) | ast.Attribute(ast.Name("ui"), name)) if name in ESCAPES:
            return True
        case ast.Call(ast.Name("list"), [value]):
            return same(value)
        case ast.Lambda(_, body):
            return same(body)
        case ast.Subscript(value) | ast.Attribute(value) if _is_constant(value):
            return True
        case ast.Name(name) if name in ESCAPES:
            return True
        case ast.Name(name):
            given = list(_assigned(name, scope))
            return _is_constant(ast.Name(name)) or (bool(given) and same(*given))
    return False


def _is_constant(value: ast.expr) -> bool:
    """A constant of a module, or a registry: what the code itself holds."""
    match value:
        case ast.Name(name) | ast.Attribute(_, name):
            return name.isupper()
        case ast.Subscript(value):
            return _is_constant(value)
    return False


def _assigned(name: str, scope: ast.AST) -> Iterator[ast.expr]:
    """Everything that a scope gives a name; nothing where one of these is no plain assignment."""
    arguments = getattr(scope, "args", None)
    if arguments is not None and name in {arg.arg for arg in [*arguments.args, *arguments.kwonlyargs]}:
        yield ast.Name("", ast.Load())
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets) and node.value:
                yield node.value


PAGES = [
    ROOT / "app.py",
    *sorted((ROOT / "pages").glob("*.py")),
    *sorted((ROOT / "vccapp" / "ui").rglob("*.py")),
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_page_says_is_its_own_or_escaped(path: Path) -> None:
    assert list(unsafe(path.read_text(), OF_THE_CODE.get(path.relative_to(ROOT).as_posix(), ()))) == []


@pytest.mark.parametrize(
    "statement",
    [
        'st.caption(f"Run {run.title}")',
        'st.caption(f"Run {title:>10}")',
        "st.error(str(error))",
        'st.markdown("**" + name + "**")',
        'left.metric("Control", label)',
        'st.metric("Control", "1", help=label)',
        'st.info("; ".join(names))',
        'st.info(", ".join(f"{name}" for name in names))',
        "st.table(frame)",
        "st.tabs(names)",
        "st.progress(0.5, text=job.title)",
        'st.radio("Run", names)',
        'st.radio("Run", names, format_func=labels.get)',
        'st.selectbox(title, names, help="x")',
        'st.column_config.NumberColumn("x", help=text)',
        'text = "a"; text = name; st.caption(text)',
        "def draw(text): st.caption(text)",
    ],
)
def test_a_name_without_its_escape_is_noticed(statement: str) -> None:
    assert list(unsafe(statement))


@pytest.mark.parametrize(
    "statement",
    [
        'st.caption("text")',
        'st.caption(f"Run {plain(run.title)}, {n:,} cells, {x:.1%}" + (" more" if n else ""))',
        "st.caption(SIGNS[status])",
        'st.radio("Run", names, format_func=plain)',
        'more = f" {plain(x)}" if x else ""; st.caption(f"Run{more}")',
        'st.error(plain("; ".join(names)))',
        "st.table(plain_table(frame))",
    ],
)
def test_an_escaped_name_is_fine(statement: str) -> None:
    assert not list(unsafe(statement))


@pytest.mark.parametrize("text", ["MYC", "non-targeting", "A+B", "12:30", "3.5 GB (of 4)", "x@", "file.h5ad"])
def test_what_needs_no_escape_has_none(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("![x](http://a/x.gif)", "!\\[x\\](http:\u2060//a/x.gif)"),
        ("<img src=x>", "\\<img src=x\\>"),
        (":material/delete: :red[x]", ":\u2060material/delete: \\:red\\[x\\]"),
        ("$a$ `b` *c* _d_ ~~e~~ #f &lt; a|b \\", r"\$a\$ \`b\` \*c\* \_d\_ \~\~e\~\~ \#f \&lt; a\|b \\"),
        ("www.a.b me@a.b", "www\u2060.a.b me@\u2060a.b"),
        ("  - item\n\n1. one", r"\- item\n\n1. one".replace(r"\n", r"\\n")),
        ("12) x", r"12\) x"),
        ("\x1b[2J\u202e", r"\\x1b\[2J\\u202e"),
    ],
)
def test_plain(text: str, markdown: str) -> None:
    assert plain(text) == markdown


def test_lines_are_kept_apart() -> None:
    assert plain_lines(["- a", "b\nc"]) == "\\- a  \nb\\\\nc"
