"""The page, its routes and what guards them, put together."""

from __future__ import annotations

import asyncio
import inspect
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from fastapi import FastAPI
from huggingface_hub.constants import HF_HUB_CACHE

from app.web.auth import Doorkeeper
from app.web.board import Board
from app.web.files import routes
from app.web.guard import Guard
from app.web.machine import Proof
from app.web.page import PageFacts, build, mount_arguments
from app.web.places import Places
from launcher import profiles

if TYPE_CHECKING:
    from app.web.server import Serving

AT_ONCE = 4
"""Calls of one endpoint."""
MOST_WAITING = 1000
"""Calls of all of them."""


def application(board: Board, proof: Proof, asked: Serving, uploads: Path, *, loopback: bool) -> Guard:
    """The whole of it. `loopback`: only this machine can reach it."""
    warnings.filterwarnings("ignore", module=r"gradio\.")  # they are for its developers
    door, places = Doorkeeper(asked.accounts), Places(uploads)
    facts = PageFacts(
        settings=asked.settings,
        environment=os.environ,
        version=version("run-app"),
        max_upload=asked.max_upload,
        visitor=lambda request: door.visitor(request.cookies) or "",
        uploaded=places.has,
        proof=proof,
    )
    page = build(board, facts)
    page.queue(default_concurrency_limit=AT_ONCE, max_size=MOST_WAITING, api_open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tidy = asyncio.create_task(places.tidy())
        yield
        tidy.cancel()

    app = FastAPI(
        openapi_url=None,
        lifespan=lifespan,
        routes=routes(board, door, places, asked.max_upload),
    )
    arguments = mount_arguments() | {
        "auth": door.check if door.guards else None,
        "root_path": asked.root_path,
        "allowed_paths": [],
        "blocked_paths": _blocked(uploads),
        "max_file_size": asked.max_upload,
        "show_error": False,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "pwa": False,
        "run_history": False,
    }
    known = inspect.signature(gr.mount_gradio_app).parameters
    gr.mount_gradio_app(app, page, "/", **{name: value for name, value in arguments.items() if name in known})
    # Without it gradio lets pass whatever path a visitor says that he uploaded: only its own launch() sets it.
    page.has_launched = True
    door.attach(app.routes[-1].app)  # type: ignore[attr-defined]
    others = [path for path, *_ in page.pages if path]
    return Guard(app, door, places, loopback=loopback, root=asked.root_path, pages=others)


def _blocked(uploads: Path) -> list[str]:
    """What gradio must not hand out, though the guard doesn't let anybody ask it: profiles, tokens, models, jobs."""
    named = [name for name in os.environ.get("RUN_APP_PROFILE", "").split(",") if "/" in name]
    ours = [str(each) for each in uploads.parent.iterdir() if each != uploads]
    settings = profiles.config_folder(dict(os.environ))
    return [*profiles.folders(dict(os.environ)), *([settings] if settings else []), *named, *ours, HF_HUB_CACHE]
