"""The page Settings: a view for the settings, the Ray cluster, the disk and the packages."""

import shlex
from dataclasses import asdict

import pandas as pd
import streamlit as st

from vccapp.data.installation import describe_version, keep_ray_address, list_packages, list_settings, measure_disk
from vccapp.errors import VccAppError
from vccapp.settings import Settings, is_set, variable_of
from vccapp.ui.kit.forms import choose_one
from vccapp.ui.kit.loaders import current_settings
from vccapp.ui.kit.show import show_table
from vccapp.wording import bytes_text, plain

SOURCES = {"environment": "Variable", "workspace": "Workspace", "default": "Default"}
SIZES = ("used", "free", "total")


def show_settings() -> list[str]:
    """The chosen view; the commands that do the same."""
    settings = current_settings()
    st.caption(plain(", ".join(f"{name} {version}" for name, version in describe_version().items())))
    views = {
        "settings": ("Settings", _show_list),
        "cluster": ("Ray cluster", _show_cluster),
        "disk": ("Disk", _show_disk),
        "packages": ("Packages", _show_packages),
    }
    labels = {name: label for name, (label, _) in views.items()}
    chosen = choose_one("View", labels, key="settings_view", label_visibility="collapsed")
    return views[chosen][1](settings)


def _show_list(settings: Settings) -> list[str]:
    st.caption(
        "Set a variable and start the app again to change one. Secrets are not shown, only whether they are set. The "
        "Ray address can be changed under *Ray cluster*."
    )
    rows = [asdict(row) | {"source": SOURCES[row.source]} for row in list_settings(settings)]
    frame = pd.DataFrame(rows, columns=["label", "value", "source", "variable"])
    frame.columns = ["setting", "value", "from", "variable"]
    show_table(
        frame,
        key="settings_table",
        text="Every setting with its value, where it comes from, and its environment variable",
        name="settings",
        height=620,
    )
    return ["vccapp settings show"]


def _show_cluster(settings: Settings) -> list[str]:
    now, fixed = settings.ray_address, is_set("ray_address")
    [row] = [row for row in list_settings(settings) if row.name == "ray_address"]
    st.markdown(f"Ray address: **{plain(row.value)}** (from: {plain(SOURCES[row.source].lower())})")
    st.caption(
        "Jobs that are sent to Ray go there; *auto* is the cluster that was started on this machine last. A change "
        "counts for jobs that are started from now on."
    )
    if fixed:
        st.info(
            f"{plain(variable_of('ray_address'))} sets the address, and it wins over this page. Unset it and start the "
            "app again to change the address here."
        )
    with st.form("settings_ray", border=True):
        kept = now if row.source == "workspace" else ""
        address = st.text_input(
            "Address",
            kept,
            key="settings_ray_address",
            disabled=fixed,
            placeholder="auto",
            help="HOST:PORT as `ray start --head` prints it, or http://HOST:8265. Empty: auto.",
        ).strip()
        if st.form_submit_button("Save the address", disabled=fixed, icon=":material/save:"):
            try:
                keep_ray_address(address, settings)
            except (VccAppError, OSError) as error:
                st.error(plain(error))
            else:
                st.rerun()
    if st.button("Check the cluster", icon=":material/lan:", key="settings_ray_check"):
        _tell_answer(now)
    return [
        "vccapp settings check",
        *([] if fixed else [shlex.join(["vccapp", "settings", "set", "--ray-address", kept or "HOST:6379"])]),
    ]


def _tell_answer(address: str) -> None:
    from vccapp.jobs.cluster.ask import ask_apart

    try:
        with st.spinner("Asking the cluster, 30 s at the longest"):
            answer = ask_apart(address)
    except VccAppError as error:
        st.warning(plain(error), icon=":material/cloud_off:")
    else:
        st.success(plain(f"{answer.describe()}."), icon=":material/cloud_done:")


def _show_disk(settings: Settings) -> list[str]:
    st.caption("What our files take, and what is free on the disk of each folder. Files of data are not counted.")
    rows = [asdict(place) for place in measure_disk(settings)]
    frame = pd.DataFrame(
        [
            {"folder": row["label"], "path": str(row["path"])}
            | {name: "-" if row[name] is None else bytes_text(row[name]) for name in SIZES}
            for row in rows
        ]
    )
    show_table(frame, key="settings_disk", text="Disk used and free for each folder of the app", name="disk")
    return ["vccapp settings disk"]


def _show_packages(settings: Settings) -> list[str]:
    sought = st.text_input("Search", key="settings_search", bind="query-params", placeholder="For example torch")
    found = {name: version for name, version in list_packages().items() if sought.strip().lower() in name.lower()}
    frame = pd.DataFrame(found.items(), columns=["package", "version"])
    if frame.empty:
        st.info(f"No package's name contains '{plain(sought.strip())}'.")
    else:
        text = "The packages of this environment with their versions"
        show_table(frame, key="settings_packages", text=text, name="packages", height=620)
    return ["vccapp settings packages"]
