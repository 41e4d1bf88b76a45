"""Whether the hub answers, whether it takes the token, and whether community-1 is open to it. Never shows the token."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time

from app.errors import in_a_line
from app.models.hub import endpoint, has_token, is_offline
from app.models.speakers import COMMUNITY_1
from app.verify import Check

TIMEOUT_S = 3.0
ALLOWS = "it would allow downloading models"


def main() -> None:
    print(json.dumps([dataclasses.asdict(check) for check in look()]))


def look() -> list[Check]:
    """One check of the hub, and one of the token where there is one or could be."""
    if is_offline():
        names = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name)]
        return [Check("hub", "hub", "SKIP", f"offline by {' and '.join(names)}; {ALLOWS}", f"--unset {names[0]}")]
    hub = Check("hub", f"hub {_shown()}", "OK", "")
    begin = time.monotonic()
    try:
        status = _head(endpoint(), {})
    except Exception as error:  # requests', httpx's or httpx2's, by the version of huggingface_hub
        while inner := error.__cause__ or error.__context__:
            error = inner if isinstance(inner, Exception) else Exception(str(inner))
        found = f"not reached: {in_a_line(error)}; {ALLOWS}"
        mend = "see the network, HTTPS_PROXY and HF_ENDPOINT; what is on this disk works without"
        return [dataclasses.replace(hub, status="SKIP", found=found, todo=mend)]
    found = f"answers within {1000 * (time.monotonic() - begin):.0f} ms ({status})"
    if status >= 500:
        return [dataclasses.replace(hub, status="SKIP", found=f"{found}; {ALLOWS}", todo="try again later")]
    return [dataclasses.replace(hub, found=found), _token()]


def _token() -> Check:
    """By one request for a file behind community-1's gate, as its download makes it."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    subject, page = "hub token", f"{_shown()}/{COMMUNITY_1}"
    allows = "it would allow the speaker models of community-1"
    if not has_token():
        mend = f"accept the conditions at {page} and put HF_TOKEN=... into local.env of run-app's config folder"
        return Check("hub-token", subject, "SKIP", f"none; {allows}", mend)
    try:
        status = _head(hf_hub_url(COMMUNITY_1, "config.yaml", endpoint=endpoint()), build_hf_headers(token=True))
    except Exception as error:
        return Check("hub-token", subject, "SKIP", f"present, not tried: {in_a_line(error)}", "try again later")
    if status < 400:
        return Check("hub-token", subject, "OK", "valid, and community-1 is open to it")
    if status == 401:
        mend = f"make a new one at {_shown()}/settings/tokens and put it into HF_TOKEN, or take HF_TOKEN away"
        return Check("hub-token", subject, "FAIL", "the hub refuses it, and with it every download (401)", mend)
    if status == 403:
        mend = f"accept them at {page}; a fine-grained token also has to be allowed to read gated repositories"
        return Check(
            "hub-gate", subject, "SKIP", f"valid; community-1's conditions are not accepted (403); {allows}", mend
        )
    return Check("hub-token", subject, "SKIP", f"present, not tried: the hub answers {status}", "try again later")


def _shown() -> str:
    """A password may stand in HF_ENDPOINT."""
    return re.sub(r"//[^/@]*@", "//", endpoint())


def _head(url: str, headers: dict[str, str]) -> int:
    from huggingface_hub.utils import get_session

    return int(get_session().head(url, headers=headers, timeout=TIMEOUT_S).status_code)


if __name__ == "__main__":
    main()
