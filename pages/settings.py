"""Settings: what this app is set to, where each value comes from, its cluster, disk and packages.

section: Help
icon: :material/settings:
order: 96
"""

from vccapp import ui

ui.open_page(__file__)
ui.reproduce(*ui.show_settings())
