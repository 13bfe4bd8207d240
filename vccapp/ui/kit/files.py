"""The download route: GET /files/submission/<id>/<name>.vcc, from disk and with ranges, never through a session."""

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from vccapp.errors import VccAppError
from vccapp.settings import Settings, open_settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def submission_file(submission: str, name: str, settings: Settings) -> Path | None:
    """The packaged file of a submission; None for whatever is not one, a link out of the workspace included."""
    if not (_NAME.fullmatch(submission) and _NAME.fullmatch(name) and name.endswith(".vcc")):
        return None
    root = settings.submissions.resolve()
    path = (root / submission / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def file_url(submission: str, name: str) -> str:
    """Where the browser finds the packaged file of a submission."""
    return f"/files/submission/{submission}/{name}"


async def _serve(request: Request) -> Response:
    try:
        settings = open_settings()
    except VccAppError as error:
        return PlainTextResponse(str(error), status_code=500)
    path = submission_file(request.path_params["submission"], request.path_params["name"], settings)
    if path is None:
        return PlainTextResponse("There is no such submission file; build it on the page Submit.", status_code=404)
    return FileResponse(path, filename=path.name, media_type="application/octet-stream")


ROUTES = [Route("/files/submission/{submission}/{name}", _serve, methods=["GET"])]
