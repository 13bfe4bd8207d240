"""Routes of the server beside Streamlit's own: downloads, and the first page by its name."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vccapp.ui.kit.frame import HOME
from vccapp.ui.server.files import serve_submission


async def _go_home(request: Request) -> Response:
    """To the root, where Streamlit has its first page: by its name it says that there is none."""
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")


ROUTES = [
    Route("/files/submission/{submission}/{name}", serve_submission, methods=["GET"]),
    Route(f"/{HOME}", _go_home, methods=["GET"]),
]
