"""Runs: what was trained and is trained, compared, named, steered and cleared away.

section: Models
icon: :material/stacked_line_chart:
order: 52
"""

from vccapp import ui

ui.open_page(__file__)
record = ui.need_dataset()
chosen = ui.show_runs_page(record, clone_link=ui.training_query)
ui.reproduce(*ui.runs_commands(chosen))
