"""Models of a hub: looked up in its cache, downloaded into it when they are not there.

huggingface_hub does the talking and owns the cache, with one exception: since it gives every download a file
name of its own (2.x), it can't go on with one that was cut, and a model of 3 GB must. So the weights are
fetched here, to where the cache keeps their content (`blobs/<sha256>`), and huggingface_hub finds them there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from app.models.folder import FILES, WEIGHTS, ModelError, describe_missing, missing_from, names_in

if TYPE_CHECKING:
    from huggingface_hub.hf_api import BlobLfsInfo

CHUNK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class DownloadProgress:
    """How far one file is."""

    action: Literal["downloading", "waiting for", "checking"]
    """`waiting for`: another process downloads the same file; `checking`: its sha256 is computed."""
    file: str
    done_bytes: int
    """Counts what an earlier, interrupted call left behind."""
    total_bytes: int


Report = Callable[[DownloadProgress], None]


class HubError(ModelError):
    """The hub did not give what was asked for."""

    status: int | None = None
    """Of its answer; None: there was no answer."""


def cached(repository: str) -> Path | None:
    """The complete snapshot of a Whisper model's repository in the hub's cache, or None. Makes no request."""
    folder = _snapshot_here(repository, FILES)
    return None if folder is None or missing_from(names_in(folder)) else folder


def cached_files(repository: str, files: Collection[str]) -> Path | None:
    """The snapshot of a repository in the hub's cache, or None where one of these files lacks. Makes no request."""
    folder = _snapshot_here(repository, files)
    return folder if folder and all((folder / name).is_file() for name in files) else None


def _snapshot_here(repository: str, patterns: Collection[str]) -> Path | None:
    with _quiet():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(repository, local_files_only=True, allow_patterns=list(patterns)))
        except LocalEntryNotFoundError:
            return None
        except HFValidationError as error:
            raise ModelError(f"{repository!r} is no repository's name: {_one_line(error)}") from None


def is_offline() -> bool:
    """Whether the environment forbids requests (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def has_token() -> bool:
    """Whether the hub would be asked with a token: HF_TOKEN, or one that `hf auth login` keeps."""
    from huggingface_hub import get_token

    return bool(get_token())


def endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def download(repository: str, report: Report | None) -> Path:
    """Bring a repository's Whisper model into the cache, going on where an earlier call was cut; return its folder.

    Raises ModelError. An interrupt passes through; what has arrived stays for the next call.
    """
    return _download(repository, report, None)


def download_files(repository: str, files: Collection[str], report: Report | None) -> Path:
    """The same for just these files of a repository, the last ones last; no pattern among them."""
    return _download(repository, report, files)


def _download(repository: str, report: Report | None, files: Collection[str] | None) -> Path:
    with _quiet():
        from huggingface_hub.errors import HfHubHTTPError

        # requests', httpx's or httpx2's own error, by the version of huggingface_hub; not all are OSErrors.
        transport_error = HfHubHTTPError.__bases__[0]
        try:
            return _bring(repository, report, files)
        except (OSError, ValueError, transport_error) as error:
            failure = HubError(f"{repository}: {_explain(error)}")
            at_fault = error.__cause__ or error  # LocalEntryNotFoundError only tells that the cache can't help
            failure.status = getattr(getattr(at_fault, "response", None), "status_code", None)
            raise failure from None


def _bring(repository: str, report: Report | None, files: Collection[str] | None) -> Path:
    from huggingface_hub import HfApi, constants, hf_hub_url, snapshot_download
    from huggingface_hub.file_download import repo_folder_name

    info = HfApi().model_info(repository, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    there = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    lacking = missing_from(there) if files is None else [name for name in files if name not in there]
    if lacking:
        what = describe_missing(lacking, there) if files is None else f"has no {', '.join(lacking)}"
        raise ModelError(f"{constants.ENDPOINT}/{repository}: {what}")
    patterns = FILES if files is None else files
    # The weights come last: a snapshot that shows them is complete, whenever we may be killed.
    weights = [WEIGHTS] if files is None else [name for name in files if there[name].lfs]
    snapshot_download(repository, allow_patterns=[pattern for pattern in patterns if pattern not in weights])
    for name in weights:
        if lfs := there[name].lfs:
            storage = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="model"))
            url = hf_hub_url(repository, name, revision=info.sha)
            _fetch(url, storage / "blobs" / lfs.sha256, lfs, _Meter(report, name, lfs.size))
    return Path(snapshot_download(repository, allow_patterns=list(patterns)))


def _fetch(url: str, blob: Path, lfs: BlobLfsInfo, meter: _Meter) -> None:
    """Download a file of known size and sha256 to `blob`, which is there whole or not at all."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    # A name of our own: huggingface_hub 0.x appends to `<sha256>.incomplete` under a lock of its own.
    part = blob.with_name(f"{blob.name}.run-app.incomplete")
    with part.open("a+b") as file:
        while not _try_lock(file):
            meter.show("waiting for", os.fstat(file.fileno()).st_size)
            time.sleep(0.3)
        if blob.exists():  # another process has just finished it
            part.unlink(missing_ok=True)
            return
        here = file.seek(0, os.SEEK_END)
        if here > lfs.size:
            here = file.truncate(0)
        free = shutil.disk_usage(blob.parent).free
        if free < lfs.size - here:
            raise OSError(errno.ENOSPC, f"{_size(lfs.size - here)} to come, {_size(free)} free", str(blob.parent))
        meter.show("downloading", here)
        # Read at each call. Its 10 MiB would be lost at each cut, and show as one step of the bar.
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        http_get(url, file, resume_size=here, headers=headers, expected_size=lfs.size, _tqdm_bar=meter)
        file.flush()
        os.fsync(file.fileno())
        if _sha256(file, meter) != lfs.sha256:
            file.truncate(0)
            raise ModelError(f"{url}: what arrived has a wrong sha256 and was dropped; run the same again")
        part.rename(blob)


class _Meter:
    """What `http_get` takes for a progress bar: from huggingface_hub 0.36 to 2.4 it only calls `update`."""

    def __init__(self, report: Report | None, file: str, total: int) -> None:
        self._report = report
        self._file = file
        self._total = total
        self._done = 0

    def show(self, action: Literal["downloading", "waiting for", "checking"], done: int) -> None:
        self._done = done
        if self._report:
            self._report(DownloadProgress(action, self._file, done, self._total))

    def update(self, count: int) -> None:
        """So many bytes more, or fewer where the server started over."""
        self.show("downloading", self._done + count)


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sha256(file: BinaryIO, meter: _Meter) -> str:
    digest = hashlib.sha256()
    done = file.seek(0)
    while chunk := file.read(16 * CHUNK_BYTES):
        digest.update(chunk)
        done += len(chunk)
        meter.show("checking", done)
    return digest.hexdigest()


def _explain(error: BaseException) -> str:
    """What went wrong and what would be right, from an error of the hub, the network or the disk."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    hub = constants.ENDPOINT
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__:
        return _explain(error.__cause__)
    if isinstance(error, HfHubHTTPError) and error.response is not None:  # 0.x: also for what is not HTTP
        status = error.response.status_code
        if isinstance(error, GatedRepoError):
            return f"{hub} asks to accept this model's conditions there first; then set HF_TOKEN ({status})"
        if status in (401, 403) and get_token():
            return f"{hub} knows no such repository, or does not open it to this HF_TOKEN ({status})"
        if status in (401, 403, 404):
            return f"{hub} knows no such repository, or it is private: check the name, set HF_TOKEN ({status})"
        return f"{hub} answers {status}; try again later, what has arrived is kept"
    if isinstance(error, OSError) and error.filename is not None:
        advice = "; make room, or let HF_HOME name another disk" if error.errno in _NO_ROOM else ""
        return f"{error.filename}: {error.strerror}{advice}"
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return f"{constants.HF_HUB_CACHE}: {error.strerror}; make room, or let HF_HOME name another disk"
    while inner := error.__cause__ or error.__context__:
        error = inner  # "Connection refused" is at the bottom of up to four layers
    reason = (isinstance(error, OSError) and error.strerror) or _one_line(error)
    return f"{hub} can't be reached or broke off ({reason}); run the same again, what has arrived is kept"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


@contextmanager
def _quiet() -> Iterator[None]:
    """Log lines, warnings and bars of the hub would tear the caller's bar; its errors are ModelErrors."""
    logger = logging.getLogger("huggingface_hub")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from huggingface_hub.utils import disable_progress_bars  # the import sets the logger's level

        disable_progress_bars()
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)
