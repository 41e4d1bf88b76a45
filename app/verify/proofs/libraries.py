"""What the interpreter, the hub's client, Gradio, pyannote.audio, tokenizers and the app made of their variables."""

from __future__ import annotations

from app.errors import UsageError
from app.settings import Settings, read_settings
from app.verify import Check
from app.verify.probes.interpreter import READERS
from app.verify.proofs import Asked

ANSWERS = {
    "GRADIO_ANALYTICS_ENABLED": "Gradio's analytics enabled",
    "PYANNOTE_METRICS_ENABLED": "pyannote.audio's metrics enabled",
    "HF_TOKEN": "huggingface_hub has this token",
}
"""What is answered, where the name alone does not say it."""
LAUNCHERS = {
    "RUN_APP_SPLIT_MB": "the launcher alone reads it, for PYTORCH_CUDA_ALLOC_CONF, which has a line of its own",
    "RUN_APP_ENV_DIR": "the launcher alone reads it, before this program is started",
}


def answer(asked: Asked) -> Check:
    """As Python itself, or the library's own code, answers."""
    python = asked.name in READERS
    whose = f"Python's {asked.name.removeprefix('PYTHON').lower()}" if python else f"huggingface_hub's {asked.name}"
    return asked.compare(
        "interpreter" if python else "switches",
        asked.name,
        about=lambda said: f"{ANSWERS.get(asked.name, whose)}: ",
        words=lambda said: str(said["is"]),
        matches=lambda said: True,
        todo=lambda said: "",
    )


def tokenizers(asked: Asked) -> Check:
    """By the threads that a batch of texts starts."""
    off = asked.value.lower() in ("", "off", "false", "f", "no", "n", "0")
    return asked.compare(
        "switches",
        asked.name,
        about=lambda said: "threads that a batch started: ",
        words=lambda said: str(said["is"]),
        matches=lambda said: (said["is"] == 0) == off,
        todo=lambda said: "report it, with this line",
    )


def app_setting(asked: Asked) -> Check:
    """As app/settings.py reads it."""
    if why := LAUNCHERS.get(asked.name):
        return asked.unobservable(why)
    field = asked.name.removeprefix("RUN_APP_").lower()
    if field not in Settings.__dataclass_fields__ or field == "threads":
        return asked.check("FAIL", "no effect: nothing reads it", f"take {asked.name} out of the profile")
    try:
        there = asked.seen.environment
        value = getattr(read_settings({name: there[name] for name in (asked.name,) if name in there}), field)
    except UsageError as error:
        return asked.check("FAIL", str(error), f"run-app --unset {asked.name}, or a value that it takes")
    default = getattr(read_settings({}), field)
    facts = {"with": value, "without": default}
    if value == default:
        return asked.unobservable(f"the app takes {field} {value}, and so it does without it", facts)
    return asked.check("OK", f"the app takes {field} {value}; without it {default}", "", facts)
