"""Glossary: what the words on these pages mean.

section: Help
icon: :material/menu_book:
order: 95
"""

from vccapp import ui

ui.open_page(__file__)
ui.show_glossary()
