"""What the CUDA driver made of its variables, by the driver's own library."""

from __future__ import annotations

from app.verify import Check
from app.verify.proofs import Asked, Reading, read

Card = dict[str, str]


def devices(asked: Asked) -> Check:
    """Which cards it shows, in which order."""
    here, there = _both(asked)
    if why := _nothing(here, there):
        return asked.unobservable(why)
    shown, known = here.said["cards"], there.said["cards"]
    if asked.name == "CUDA_VISIBLE_DEVICES":
        expected = _visible(asked.value, known)
    else:
        expected = sorted(known, key=lambda card: card["bus"]) if asked.value == "PCI_BUS_ID" else None
    return asked.judge(
        here,
        there,
        words=lambda said: f"CUDA shows {', '.join(card['bus'] for card in said['cards']) or 'no card'}",
        matches=lambda said: expected is None or shown == expected,
        todo=lambda said: "report it, with this line",
    )


def loading(asked: Asked) -> Check:
    """How it loads code."""
    here, there = _both(asked)
    if why := _nothing(here, there):
        return asked.unobservable(why)
    if here.said["loading"] is None:
        return asked.unobservable("this driver does not tell")
    return asked.judge(
        here,
        there,
        words=lambda said: f"CUDA loads its code {said['loading']}",
        matches=lambda said: asked.value == "DEFAULT" or said["loading"] == asked.value,
        todo=lambda said: "give it LAZY or EAGER",
    )


def _both(asked: Asked) -> tuple[Reading, Reading]:
    here, there = (read("driver", environment) for environment in (asked.seen.environment, asked.without))
    return here, there


def _nothing(here: Reading, there: Reading) -> str:
    """Why the two can't tell anything."""
    if here.died and not there.died:
        return ""
    return here.fault or there.fault or ("" if there.said["cards"] else "there is no card")


def _visible(value: str, known: list[Card]) -> list[Card] | None:
    """CUDA's rule: in this order, and nothing behind an entry that is no card. None where the rule isn't known here:
    slices of cards, a card named twice.
    """
    shown: list[Card] = []
    for word in map(str.strip, value.split(",")):
        if word.startswith("MIG-"):
            return None
        if word.isdigit():
            match = known[int(word) : int(word) + 1]
        else:
            match = [card for card in known if word.startswith("GPU-") and card["uuid"].startswith(word)]
        if not match:
            break
        shown.append(match[0])
    return shown if len({card["uuid"] for card in shown}) == len(shown) else None
