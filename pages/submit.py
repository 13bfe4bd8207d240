"""Submit: plan, generate and check the cells, and hand in the package.

section: Submission
icon: :material/package_2:
order: 70
"""

from vccapp import ui

ui.open_page(__file__)
record, index = ui.need_context()
season, phase = ui.choose_season()
ui.show_season_opening(season, phase)
made = ui.show_plan_step(record, index, season, phase)
ui.show_steps(made.plan)
ui.show_file_checks(record, season, phase)
ui.show_submissions(record)
ui.reproduce(*made.commands)
