"""From a URL to the fsspec file system that serves it, and every call to it: tried again where that helps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from app.errors import InputError, UsageError, WorkError
from app.remote.faults import CONNECT_S, SILENCE_S, Scope, understood
from app.remote.urls import S3, WEB, is_remote, scheme_of, shown

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTEMPTS = 3
WAITS_S = (1.0, 4.0)
"""Between the attempts."""

Result = TypeVar("Result")
Say = Callable[[str], None]


class Blame(NamedTuple):
    """What is raised where only this file is concerned, and where nothing there can be reached."""

    one: type[Exception]
    all: type[Exception]


BEFORE = Blame(UsageError, UsageError)
"""Nothing was begun yet."""
READING = Blame(InputError, WorkError)
WRITING = Blame(WorkError, WorkError)


class Place(NamedTuple):
    """A URL, taken apart."""

    url: str
    scheme: str
    fs: AbstractFileSystem
    path: str
    """As the file system wants it: bucket/key."""


def place_of(url: str) -> Place:
    """Raises UsageError: no URL, credentials in it, an unknown scheme, a package that is missing."""
    scheme = scheme_of(url)
    try:
        import fsspec
        from fsspec.registry import known_implementations
    except ImportError:
        raise UsageError(f"{shown(url)}: the package fsspec is missing: pip install 'run-app[s3]'") from None
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError:
        hint = "pip install 'run-app[s3]'" if scheme in S3 else known_implementations.get(scheme, {}).get("err", "")
        raise UsageError(f"{shown(url)}: a package for {scheme}:// is missing: {hint}") from None
    except ValueError:
        raise UsageError(
            f"{shown(url)}: fsspec knows no {scheme}://; s3://, gs:// and https:// are some that it knows"
        ) from None
    path = str(kind._strip_protocol(url))
    if is_remote(url) and scheme != "memory" and not path.strip("/"):
        raise UsageError(f"{shown(url)}: names nothing: s3://bucket/folder would")
    try:
        fs = kind(**kind._get_kwargs_from_urls(url), **_options(scheme))
    except Exception as error:
        raise UsageError(f"{shown(url)}: {understood(error, scheme).reason}") from None
    if scheme in S3:
        fs.retries = 1  # the attempts are counted here, in one place
    return Place(url, scheme, fs, path)


def spelt(url: str) -> str:
    """The URL as a listing spells it, so that two can be compared: memory://a.wav is memory:///a.wav, and a slash at
    the end says nothing. Raises UsageError.
    """
    place = place_of(url)
    return str(place.fs.unstrip_protocol(place.path))


def _options(scheme: str) -> dict[str, object]:
    """Nothing of what was listed before is believed, no wait is without an end, one connection at a time: ten, as is
    usual, would hold ten parts of 50 MiB in memory and write them into a file of the full length from the start.
    """
    from fsspec.config import conf

    if scheme in WEB:
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        return {"client_kwargs": {"timeout": timeout}, "use_listings_cache": False}
    if scheme in S3:
        waits = {"connect_timeout": CONNECT_S, "read_timeout": SILENCE_S, "retries": {"total_max_attempts": 1}}
        own = conf.get("s3", {}).get("config_kwargs", {})  # FSSPEC_S3_CONFIG_KWARGS
        return {"config_kwargs": waits | own, "use_listings_cache": False, "max_concurrency": 1}
    return {}


def tried(act: Callable[[Place], Result], url: str, blame: Blame, say: Say = lambda line: None) -> Result:
    """The result of `act`; up to three attempts where the trouble may pass, each said.

    Raises what `blame` says, in one line with the URL; errors of this project pass as they are.
    """
    place = place_of(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return act(place)
        except (UsageError, InputError, WorkError):
            raise
        except Exception as error:
            fault = understood(error, place.scheme)
            if not fault.transient or attempt == ATTEMPTS:
                tries = f" ({ATTEMPTS} attempts)" if fault.transient else ""
                kind = blame.one if fault.scope is Scope.ONE else blame.all
                raise kind(f"{shown(url)}: {fault.reason}{tries}") from None
            wait = WAITS_S[attempt - 1]
            say(f"{shown(url)}: {fault.reason}; attempt {attempt + 1} of {ATTEMPTS} in {wait:g} s")
            time.sleep(wait)
    raise AssertionError
