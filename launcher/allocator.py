"""The options of torch's CUDA allocator, by the version that brought each.

torch reads the string at its first CUDA use: a wrong one passes every import and fails minutes later. A test holds
these tables against torch 2.8 itself; what came later is from the sources of 2.9 to 2.14.
"""

from launcher.hardware import under_wsl

_BOOLEAN = ("True", "False")
_POWERS = tuple(str(1 << power) for power in range(31))
WORDS = {
    "backend": ("native", "cudaMallocAsync"),
    "expandable_segments": _BOOLEAN,
    "release_lock_on_cudamalloc": _BOOLEAN,
    "pinned_use_cuda_host_register": _BOOLEAN,
    "pinned_num_register_threads": _POWERS[:8],
    "pinned_use_background_threads": _BOOLEAN,
    "pinned_free_catch_all": _BOOLEAN,
    "throw_on_cudamalloc_oom": _BOOLEAN,
}
INTEGERS = {
    "max_split_size_mb": 21,
    "max_non_split_rounding_mb": 21,
    "pinned_reserve_segment_size_mb": 1,
    "large_segment_size_mb": 1,
    "pinned_max_round_threshold_mb": 1,
    "pinned_max_cached_size_mb": 1,
}
FRACTIONS = ("garbage_collection_threshold", "per_process_memory_fraction")
OPTIONS = (*WORDS, *INTEGERS, *FRACTIONS, "roundup_power2_divisions")
# What 2.8 does not have yet.
SINCE = {
    "per_process_memory_fraction": (2, 10),
    "pinned_reserve_segment_size_mb": (2, 10),
    "large_segment_size_mb": (2, 11),
    "pinned_free_catch_all": (2, 12),
    "throw_on_cudamalloc_oom": (2, 12),
    "pinned_max_round_threshold_mb": (2, 13),
    "pinned_max_cached_size_mb": (2, 13),
}


def options(value: str) -> list[tuple[str, str]]:
    """The pairs of a string: split at commas outside [], spaces dropped, one comma at the end allowed, as in torch."""
    found: list[tuple[str, str]] = []
    value = value.replace(" ", "")
    if not value:
        return found
    depth, word = 0, ""
    for character in value + "," * (value == "," or not value.endswith(",")):
        depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0:
            option, _, setting = word.partition(":")
            found.append((option, setting))
            word = ""
        else:
            word += character
    if word:
        found.append((word, ""))
    return found


def wrong_option(name: str, value: str, torch: tuple[int, int] | None) -> str:
    """What `torch` (None: any of 2.8 to 2.14) does not know or cannot read in `value`; empty if all is right."""
    seen = set()
    for option, setting in options(value):
        if option not in OPTIONS:
            from difflib import get_close_matches

            near = get_close_matches(option, OPTIONS, 1, 0.5)
            return f"{name}: torch knows no option {option!a}" + (f"; did you mean {near[0]}?" if near else "")
        since = SINCE.get(option, (2, 8))
        if torch and torch < since:
            return f"{name}: {option} came with torch {since[0]}.{since[1]}; this one is {torch[0]}.{torch[1]}"
        if option in seen:
            return f"{name}: {option} stands there twice; keep one"
        seen.add(option)
        if right := _what_fits(option, setting):
            return f"{name}: {option}:{setting}; it is {right}"
    return ""


def _what_fits(option: str, setting: str) -> str:
    """Empty if the setting fits its option, otherwise what would."""
    number = int(setting) if setting.isascii() and setting.isdigit() and len(setting) < 8 else -1
    if option in WORDS:
        return "" if setting in WORDS[option] else f"one of {', '.join(WORDS[option])}"
    if option in INTEGERS:
        return "" if number >= INTEGERS[option] else f"an integer of at least {INTEGERS[option]}"
    if option in FRACTIONS:
        whole, _, digits = setting.partition(".")
        return (
            "" if whole == "0" and digits.isdigit() and digits.strip("0") else "a fraction between 0 and 1, as in 0.8"
        )
    steps = [step.partition(":") for step in setting.strip("[]").split(",")] if setting.startswith("[") else []
    if setting in _POWERS or (steps and all((s == ">" or s in _POWERS) and parts in _POWERS for s, _, parts in steps)):
        return ""
    return "a power of 2, or a list of them by size, as in [256:1,512:2,>:4]"


def doubts(environment: dict[str, str], torch: tuple[int, int] | None) -> list[str]:
    """What is possible and yet known to do harm, or nothing at all."""
    said = []
    old, new = environment.get("PYTORCH_CUDA_ALLOC_CONF"), environment.get("PYTORCH_ALLOC_CONF")
    if old is not None and new is not None:
        said.append(
            "PYTORCH_CUDA_ALLOC_CONF and PYTORCH_ALLOC_CONF are both set; keep the first, which every torch reads"
        )
    if new is not None and torch and torch < (2, 10):
        said.append(f"torch {torch[0]}.{torch[1]} does not read PYTORCH_ALLOC_CONF; set PYTORCH_CUDA_ALLOC_CONF")
    if ("expandable_segments", "True") in options(old or "") + options(new or "") and under_wsl():
        said.append(
            "expandable_segments:True can fail under WSL2 (CUDA driver error); lay profile wsl last to take it out"
        )
    return said
