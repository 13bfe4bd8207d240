"""What the pages share. A page reads: `ui.open_page(__file__)`, widgets, a loader, a pure figure, `ui.show_chart`.

The names stand in `__init__.pyi`. Each is imported from its module when it is first used, so a page that trains nothing
never loads the models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
