"""The options of torch's CUDA allocator, by the version that brought each.

torch reads the string at its first CUDA use: a wrong one passes every import and fails minutes later. The tables come
from each version's c10/cuda/CUDAAllocatorConfig.{h,cpp} and c10/core/AllocatorConfig.{h,cpp}. A test holds them
against the installed torch itself; it passed with 2.8.0, 2.9.1, 2.10.0, 2.11.0, 2.12.1, 2.13.0, 2.14.1 and 2.15.0.
"""

from launcher import under_wsl

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
    "graph_capture_record_stream_reuse": _BOOLEAN,
}
# From 2.10 on 20 is enough for the first two; 21 is what every version reads.
INTEGERS = {
    "max_split_size_mb": 21,
    "max_non_split_rounding_mb": 21,
    "pinned_reserve_segment_size_mb": 1,
    "large_segment_size_mb": 11,
    "pinned_max_round_threshold_mb": 0,
    "pinned_max_cached_size_mb": 0,
}
# What the others take, in words; _fits says it in code.
OTHERS = {
    "garbage_collection_threshold": "a fraction between 0 and 1, as in 0.8",
    "per_process_memory_fraction": "a fraction from 0 to 1, as in 0.8",
    "roundup_power2_divisions": "a power of 2, or a list of them by size, as in [256:1,512:2,>:4]",
    "expandable_segments_reserve": "a fraction of the card's memory or GiB, as in 0.5 or 40G",
    "expandable_segments_reserve_by_class": "a list of fractions or GiB by class, as in [small:0.05,large:40G]",
}
OPTIONS = (*WORDS, *INTEGERS, *OTHERS)
# What 2.8 does not have yet.
SINCE = {
    "graph_capture_record_stream_reuse": (2, 9),
    "per_process_memory_fraction": (2, 10),
    "pinned_reserve_segment_size_mb": (2, 10),
    "large_segment_size_mb": (2, 11),
    "pinned_free_catch_all": (2, 12),
    "throw_on_cudamalloc_oom": (2, 12),
    "pinned_max_round_threshold_mb": (2, 13),
    "pinned_max_cached_size_mb": (2, 13),
    "expandable_segments_reserve": (2, 15),
    "expandable_segments_reserve_by_class": (2, 15),
}


def options(value: str) -> list[tuple[str, str]]:
    """The pairs of a string: split at commas outside [], spaces dropped, one comma at the end allowed, as in torch."""
    value = value.replace(" ", "")
    if not value:
        return []
    depth, words = 0, [""]
    for character in value if value == "," else value.removesuffix(","):
        depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0:
            words.append("")
        else:
            words[-1] += character
    return [(option, setting) for option, _, setting in (word.partition(":") for word in words)]


def wrong_option(name: str, value: str, torch: tuple[int, int] | None) -> str:
    """What `torch` (None: any of 2.8 to 2.15) does not know or cannot read in `value`; empty if all is right."""
    seen = set()
    for option, setting in options(value):
        if option not in OPTIONS:
            from launcher.report import nearest

            return f"{name}: torch knows no option {option!a}" + nearest(option, OPTIONS, 0.5)
        since = SINCE.get(option, (2, 8))
        if torch and torch < since:
            return f"{name}: {option} came with torch {since[0]}.{since[1]}; this one is {torch[0]}.{torch[1]}"
        if option in seen:
            return f"{name}: {option} stands there twice; keep one"
        seen.add(option)
        if not _fits(option, setting):
            if option in WORDS:
                right = f"one of {', '.join(WORDS[option])}"
            elif option in INTEGERS:
                right = f"an integer of at least {INTEGERS[option]}"
            else:
                right = OTHERS[option]
            return f"{name}: {option}:{setting}; it is {right}"
    return ""


def _fits(option: str, setting: str) -> bool:
    if option in WORDS:
        return setting in WORDS[option]
    if option in INTEGERS:
        return setting.isascii() and setting.isdigit() and len(setting) < 10 and int(setting) >= INTEGERS[option]
    if option == "garbage_collection_threshold":
        return 0 < _decimal(setting) < 1
    if option == "per_process_memory_fraction":
        return 0 <= _decimal(setting) <= 1
    if option == "expandable_segments_reserve":
        return _reserve(setting)
    steps = options(setting[1:-1]) if setting[:1] == "[" and setting[-1] == "]" else []
    if option == "expandable_segments_reserve_by_class":
        return bool(steps) and all(name and _reserve(size) for name, size in steps)
    if not steps:
        return setting in _POWERS
    return all((size == ">" or size in _POWERS) and parts in ("0", *_POWERS) for size, parts in steps)


def _decimal(word: str) -> float:
    """A number as C++ reads it, .8 and 8e-1 too; nan for the rest, though torch takes 0.8x for 0.8."""
    try:
        return float(word) if not word.strip("0123456789.eE+-") else float("nan")
    except ValueError:
        return float("nan")


def _reserve(word: str) -> bool:
    """Whether torch would take it for a size; of another it warns, and goes on without."""
    return 0 < _decimal(word[:-1] if word[-1:] in ("G", "g") else word) < float("inf")


def doubts(environment: dict[str, str], torch: tuple[int, int] | None, *, any_torch: bool) -> list[str]:
    """What is possible and yet known to do harm, or nothing at all; `any_torch`: a program with a torch of its own."""
    said = []
    old, new = environment.get("PYTORCH_CUDA_ALLOC_CONF"), environment.get("PYTORCH_ALLOC_CONF")
    if new is not None:
        if old is not None:
            said.append(
                "PYTORCH_CUDA_ALLOC_CONF and PYTORCH_ALLOC_CONF are both set; keep the first, which every torch reads"
            )
        elif torch and torch < (2, 10):
            said.append(f"torch {torch[0]}.{torch[1]} does not read PYTORCH_ALLOC_CONF; set PYTORCH_CUDA_ALLOC_CONF")
        elif any_torch:
            said.append(
                "torch before 2.10 does not read PYTORCH_ALLOC_CONF; set PYTORCH_CUDA_ALLOC_CONF, which every one reads"
            )
    if ("expandable_segments", "True") in options(old or "") + options(new or "") and under_wsl():
        said.append(
            "expandable_segments:True can fail under WSL2 (CUDA driver error); lay profile wsl last to take it out"
        )
    return said
