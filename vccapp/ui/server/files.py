"""The download route: GET /files/submission/<id>/<id>.vcc, from disk and with ranges, never through a session.

A package is compressed already. `Content-Encoding: identity` keeps the server from doing it again, which would cost
ten times the time and hide the length from the browser, and make the ETag that of other bytes.
"""

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from vccapp.errors import VccAppError
from vccapp.settings import Settings, open_settings
from vccapp.submission.plan import load_plan
from vccapp.submission.report import package_places

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def submission_file(submission: str, name: str, settings: Settings) -> Path | None:
    """The packaged file of a submission; None for whatever is not one, its neighbours and links included."""
    folder = settings.submissions.resolve() / submission
    if not _NAME.fullmatch(submission) or folder / name not in package_places(submission, folder):
        return None
    path = folder / name
    return path if path.resolve() == path and path.is_file() else None


def file_url(submission: str, name: str) -> str:
    """Where the browser finds the packaged file of a submission."""
    return f"/files/submission/{submission}/{name}"


def download_name(submission: str, name: str, settings: Settings) -> str:
    """Under which name a package is saved: that of practice says so."""
    try:
        practice = load_plan(submission, settings).practice
    except VccAppError:  # what has no plan of ours is what its name says
        return name
    return f"practice-{name}" if practice and not name.startswith("practice-") else name


async def serve_submission(request: Request) -> Response:
    try:
        settings = open_settings()
    except VccAppError as error:
        return PlainTextResponse(str(error), status_code=500)
    path = submission_file(request.path_params["submission"], request.path_params["name"], settings)
    if path is None:
        return PlainTextResponse("There is no such submission file; build it on the page Submit.", status_code=404)
    headers = {"Content-Encoding": "identity", "Cache-Control": "private, no-cache"}
    filename = download_name(path.parent.name, path.name, settings)
    return FileResponse(path, filename=filename, media_type="application/octet-stream", headers=headers)
