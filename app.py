"""The app: its pages, its file route and its door. Start it with `streamlit run app.py`.

Streamlit's command finds the ASGI object `app` below; the server then runs this same file as the script of each visit.
"""

import streamlit as st

from vccapp import ui

app = st.App("app.py", routes=ui.ROUTES, middleware=ui.MIDDLEWARE, lifespan=ui.lifespan, on_script_error=ui.show_error)

if __name__ == "__main__":
    ui.navigate()
