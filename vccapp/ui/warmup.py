"""What the server does once, while it starts: it imports what the pages draw with, so that the first visit need not.

Streamlit collects garbage after every run of a page, holding up what the page has still to send: a tenth of a second
for the classes and functions of these modules alone. They stay as long as the server, so they are set apart.
"""

import contextlib
import gc
import importlib
import pkgutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from vccapp import figures, ui
from vccapp.data.atomic import remove_dead
from vccapp.data.stores.bounded import start_opener
from vccapp.errors import SpecError
from vccapp.settings import open_settings
from vccapp.ui.server.door import print_link

LATER = ("h5py", "plotly.io", "scipy.cluster.hierarchy", "scipy.spatial.distance", "vccapp.training")
"""What functions import when they need it: at a click, without this."""


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Start the warm-up beside the server; a visit in the meantime waits for no more than the imports of its page.

    A server's first visit to a page would run its file alone, as Streamlit did before `st.navigation`, and lose what is
    then chosen or typed first: its widgets get other ids from the next run on. Streamlit 1.67 has no public switch for
    that; `st.navigation` sets the same one, but only when a page is first run.
    """
    PagesManager.uses_pages_directory = False
    with contextlib.suppress(SpecError):  # told by the door, to whoever asks
        print_link()
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    yield


def warm_up() -> None:
    """Remove what killed jobs left; import the modules of the pages, and have them spared by the garbage collector."""
    with contextlib.suppress(SpecError):
        settings = open_settings()
        remove_dead(settings.home, settings.checkpoints)
    for package in (ui, figures):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)
    start_opener()
    gc.collect()
    gc.freeze()
