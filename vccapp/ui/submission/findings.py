"""What checks found: the failed first, each with why it matters, its table and how to mend it."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from vccapp.submission.check import CheckResult
from vccapp.wording import plain

SIGNS = {
    "failed": ":red-badge[:material/error: failed]",
    "warning": ":orange-badge[:material/warning: warning]",
    "skipped": ":gray-badge[:material/remove: skipped]",
    "ok": ":green-badge[:material/check_circle: ok]",
}
"""In the order in which they are shown."""


def count_findings(checks: Sequence[CheckResult]) -> tuple[int, int]:
    """How many failed, and how many warn."""
    return tuple(sum(check.status == status for check in checks) for status in ("failed", "warning"))  # type: ignore[return-value]


def show_findings(
    checks: Sequence[CheckResult], *, key: str, mend: Callable[[Sequence[str]], None] | None = None
) -> None:
    """Failed checks, then warnings, each whole; the others in a list that opens.

    mend : called with the names of mends when a mend button is pressed; without it there are none
    """
    told = [check for status in ("failed", "warning") for check in checks if check.status == status]
    mends = list(dict.fromkeys(check.mend for check in told if check.mend))
    if mend is not None and len(mends) > 1:
        st.button(
            f"Mend all {len(mends):d}",
            type="primary",
            icon=":material/build:",
            key=f"{key}_mend_all",
            on_click=mend,
            args=(mends,),
        )
    for check in told:
        _show_finding(check, key=key, mend=mend)
    rest = [check for check in checks if check.status in ("ok", "skipped")]
    if rest:
        passed = sum(check.status == "ok" for check in rest)
        with st.expander(f"{passed:d} checks passed, {len(rest) - passed:d} skipped", icon=":material/checklist:"):
            for check in rest:
                st.markdown(f"{SIGNS[check.status]} **{plain(check.label)}**: {plain(check.message)}")


def _show_finding(check: CheckResult, *, key: str, mend: Callable[[Sequence[str]], None] | None) -> None:
    with st.container(border=True, key=f"{key}_{check.name}"):
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.markdown(f"{SIGNS[check.status]} **{plain(check.label)}**: {plain(check.message)}")
        if check.fix:
            left.markdown(plain(check.fix))
        for more in (check.why, check.stricter):
            if more:
                left.caption(plain(more))
        if check.mend and mend is not None:
            right.button(
                "Mend",
                icon=":material/build:",
                key=f"{key}_mend_{check.name}",
                on_click=mend,
                args=([check.mend],),
                width="stretch",
                help=f"{plain(check.mend.replace('_', ' ').capitalize())}: writes a new file, this one stays as it is",
            )
        if check.table:
            frame = pd.DataFrame(list(check.table))
            with st.expander(f"What was found ({len(frame):,} rows)"):
                st.dataframe(frame, hide_index=True, width="stretch", alt=f"What the check {check.label} found")
