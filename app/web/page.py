"""The page itself: five places, which the scripts in static/ fill, and what these have to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.languages import CODES
from app.models import REPOSITORIES
from app.settings import Settings
from app.web import api, words
from app.web.board import MOST_FILES, Board
from app.web.calls import Calls
from app.web.machine import Proof, profiles, variables
from app.web.options import DEFAULT_FORMATS, FORMATS, MOST_SPEAKERS

STATIC = Path(__file__).with_name("static")
SCRIPTS = ("base", "parts", "head", "form", "record", "jobs", "job", "transcript", "memory", "machine")
STYLES = ("frame", "views")
PARTS = ("head", "form", "jobs", "job", "machine")
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


@dataclass(frozen=True)
class PageFacts:
    """What the page is told by its server."""

    settings: Settings
    environment: Mapping[str, str] = field(repr=False)
    """With the profile's variables in it."""
    version: str
    max_upload: int
    """Bytes of one file."""
    visitor: Callable[[Any], str]
    """The visitor's name, by his request (starlette's, whatever gradio calls it); "" where nobody logs in."""
    uploaded: Callable[[str, object], bool]
    """Whether this is the path of a file that this visitor has uploaded."""
    proof: Proof


def build(board: Board, facts: PageFacts) -> gr.Blocks:
    """The page, and the API's endpoints."""
    first: dict[str, Any] = {
        "server_functions": Calls(board, facts, facts.proof).functions(),
        "facts": _told(facts),
    }
    page = gr.Blocks(title="run-app", fill_width=True, analytics_enabled=False)
    with page:
        for part in PARTS:
            gr.HTML(
                html_template=f'<div class="ra-part" data-part="{part}"></div>',  # what a template is given, it runs
                js_on_load=f"runApp.fill({part!r}, element.firstElementChild, server, props.facts);",
                apply_default_css=False,
                elem_id=f"ra-{part}",
                elem_classes=["ra"],
                **(first if part == PARTS[0] else {}),
            )
        api.endpoints(board)
    return page


def mount_arguments() -> dict[str, Any]:
    """For gr.mount_gradio_app."""
    scripts = "\n".join((STATIC / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    style = "\n".join((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
    return {
        # As css= gradio would put its own container before each selector: what the document says of itself is above it.
        "head": f'<style>{style}</style><script>"use strict";\n{scripts}</script>',
        "theme": gr.themes.Base(font=FONT, font_mono=MONO),
        "i18n": words.I18N,
        "footer_links": ["api"],
    }


def _told(facts: PageFacts) -> dict[str, Any]:
    """What the scripts have to know."""
    return {
        "version": facts.version,
        "profiles": profiles(facts.environment),
        "variables": variables(facts.environment),
        "settings": asdict(facts.settings),
        "models": list(REPOSITORIES),
        "languages": list(CODES),
        "formats": list(FORMATS),
        "default_formats": list(DEFAULT_FORMATS),
        "most_files": MOST_FILES,
        "most_speakers": MOST_SPEAKERS,
        "max_upload": facts.max_upload,
    }
