"""Which values are possible, as data. A value that no reader of its variable could use ends the start.

What every start needs stands here; the allocator's string has its own module, read when one is set.
"""

import os

from launcher import LauncherError
from launcher.environment import LISTS, Plan
from launcher.profiles import Setting, shipped_folder
from launcher.target import Target

# What the launcher itself exports.
OWN = ("RUN_APP_PROFILE", "RUN_APP_SETTINGS", "RUN_APP_ASKED")
# RUN_APP_..., as far as anything reads it: app/settings.py, launcher/profiles.py, and shipped profiles in lines below.
SETTINGS = ("MODEL", "DEVICE", "COMPUTE_TYPE", "BATCH_SIZE", "RESIDENT", "SPLIT_MB", "ENV_DIR")
# These run code of the setter's choosing in every interpreter or shell that sees them: too much for a line in a file.
HIJACKS = frozenset(
    "BASH_ENV ENV SHELLOPTS BASHOPTS PROMPT_COMMAND PS4 ZDOTDIR PYTHONHOME PYTHONSTARTUP PYTHONPATH PYTHONINSPECT "
    "PYTHONUSERBASE PYTHONPLATLIBDIR PERL5OPT PERL5LIB PERLLIB PERL5DB RUBYOPT RUBYLIB NODE_OPTIONS NODE_PATH "
    "LUA_INIT JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS LD_AUDIT GCONV_PATH CUDA_INJECTION64_PATH "
    "OMP_TOOL_LIBRARIES GTK_MODULES".split()
)
ALLOCATORS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")

INTEGERS = {
    "MALLOC_ARENA_MAX": (1, 1 << 31),
    "MALLOC_ARENA_TEST": (1, 1 << 31),
    "MALLOC_TRIM_THRESHOLD_": (-1, 1 << 62),
    "MALLOC_TOP_PAD_": (0, 1 << 62),
    # glibc 2.31 takes no notice of more than 32 MiB, 2.35 and later do: verify shows it.
    "MALLOC_MMAP_THRESHOLD_": (0, 1 << 62),
    "MALLOC_MMAP_MAX_": (0, 1 << 31),
    "MALLOC_PERTURB_": (0, 255),
    "CUDA_LAUNCH_BLOCKING": (0, 1),
    "CUDA_CACHE_DISABLE": (0, 1),
    "CUDA_CACHE_MAXSIZE": (0, 4 << 30),
    "CUDA_DISABLE_PTX_JIT": (0, 1),
    "CUDA_DEVICE_MAX_CONNECTIONS": (1, 32),
    "OMP_NUM_THREADS": (1, 4096),
    "MKL_NUM_THREADS": (1, 4096),
    "OPENBLAS_NUM_THREADS": (1, 4096),
    "GRADIO_SERVER_PORT": (1, 65535),
    "RUN_APP_BATCH_SIZE": (1, 1024),
    "RUN_APP_SPLIT_MB": (21, 1 << 20),
}
WORDS = {
    "RUN_APP_DEVICE": ("auto", "cpu", "cuda"),
    "RUN_APP_RESIDENT": ("True", "False"),
    "RUN_APP_COMPUTE_TYPE": (
        *("auto", "int8", "int8_float32", "int8_float16", "int8_bfloat16"),
        *("int16", "float16", "bfloat16", "float32"),
    ),
    "TOKENIZERS_PARALLELISM": ("true", "false", "True", "False", "1", "0", "yes", "no", "on", "off"),
    # Whatever is not True counts as False, true included.
    "GRADIO_ANALYTICS_ENABLED": ("True", "False"),
    "CUDA_DEVICE_ORDER": ("PCI_BUS_ID", "FASTEST_FIRST"),
    "CUDA_MODULE_LOADING": ("LAZY", "EAGER", "DEFAULT"),
    "CT2_CUDA_ALLOCATOR": ("cub_caching", "cuda_malloc_async"),
    "OMP_WAIT_POLICY": ("PASSIVE", "ACTIVE", "passive", "active"),
}
# What else is read under these prefixes: a name that is only like one of them, or of those above, is a slip.
PREFIXES = ("MALLOC_", "CUDA_", "PYTORCH_", "OMP_", "HF_")
KNOWN = (
    "MALLOC_CHECK_ MALLOC_CONF CUDA_VISIBLE_DEVICES CUDA_HOME CUDA_PATH CUDA_CACHE_PATH CUDA_FORCE_PTX_JIT "
    "CUDA_MODULE_DATA_LOADING CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY PYTORCH_JIT "
    "PYTORCH_NO_CUDA_MEMORY_CACHING PYTORCH_NVML_BASED_CUDA_CHECK PYTORCH_KERNEL_CACHE_PATH OMP_SCHEDULE OMP_DYNAMIC "
    "OMP_NESTED OMP_PROC_BIND OMP_PLACES OMP_STACKSIZE OMP_THREAD_LIMIT OMP_MAX_ACTIVE_LEVELS OMP_DISPLAY_ENV "
    "OMP_DISPLAY_AFFINITY OMP_AFFINITY_FORMAT OMP_CANCELLATION OMP_TEAMS_THREAD_LIMIT OMP_NUM_TEAMS HF_HOME HF_TOKEN "
    "HF_TOKEN_PATH HF_ENDPOINT HF_HUB_CACHE HF_XET_CACHE HF_ASSETS_CACHE HF_DATASETS_CACHE HF_MODULES_CACHE "
    "HF_HUB_OFFLINE HF_DATASETS_OFFLINE HF_HUB_DISABLE_TELEMETRY HF_HUB_DISABLE_PROGRESS_BARS HF_HUB_DISABLE_XET "
    "HF_HUB_DISABLE_SYMLINKS HF_HUB_DISABLE_SYMLINKS_WARNING HF_HUB_DISABLE_IMPLICIT_TOKEN HF_HUB_ENABLE_HF_TRANSFER "
    "HF_HUB_DOWNLOAD_TIMEOUT HF_HUB_ETAG_TIMEOUT HF_HUB_VERBOSITY HF_XET_HIGH_PERFORMANCE"
).split()


def check(setting: Setting, value: str, target: Target, notes: list[str]) -> str | None:
    """The value as it will be exported; None if nothing of it is left. Raises LauncherError for an impossible one."""
    name, origin = setting.name, setting.origin
    check_name(name, origin)
    head, prefix, tail = name.partition("RUN_APP_")
    if prefix and not head and tail not in SETTINGS:
        from launcher.report import nearest

        meant = nearest(name, (prefix + each for each in SETTINGS), 0.75)
        raise LauncherError(f"{origin}: nothing reads {name}{meant or f'; there are {prefix}' + ', '.join(SETTINGS)}")
    if name in LISTS:
        return _existing(name, value, origin, target, notes)
    if fault := wrong(name, value, target):
        raise LauncherError(f"{origin}: {fault}")
    if name.startswith(PREFIXES) and name not in (known := (*INTEGERS, *WORDS, *ALLOCATORS, *KNOWN)):
        from launcher.report import nearest

        if meant := nearest(name, known, 0.85):
            notes.append(f"{origin}: nothing well known reads {name}{meant}")
    if name == "OMP_NUM_THREADS" and not origin.startswith("--"):
        cores = len(os.sched_getaffinity(0))
        lowered = ",".join(number if int(number) <= cores else str(cores) for number in value.split(","))
        # Of the shipped number every small machine would be told at every start.
        if lowered != value and not origin.startswith(f"{shipped_folder()}/"):
            notes.append(f"{origin}: OMP_NUM_THREADS={value} lowered to this machine's {cores} cores")
        return lowered
    return value


def check_name(name: str, origin: str) -> None:
    """Raise LauncherError for a name that may not be set, or that only looks like one a library reads."""
    if name in OWN:
        raise LauncherError(f"{origin}: {name} is what run-app itself reports; it cannot be set")
    if name in HIJACKS and not origin.startswith("--"):
        raise LauncherError(f"{origin}: {name} runs code in every program it reaches; if you mean it, --set {name}=...")
    for right in (f"{name}_", name.rstrip("_")):
        if right != name and right in INTEGERS:
            raise LauncherError(f"{origin}: nothing reads {name}; did you mean {right}?")


def wrong(name: str, value: str, target: Target) -> str:
    """What is wrong with a value, and what would be right; empty if it is possible."""
    if name in INTEGERS:
        low, high = INTEGERS[name]
        # OpenMP takes a list, one number for each level of nesting.
        for number in value.split(",") if name == "OMP_NUM_THREADS" else [value]:
            digits = number.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and low <= int(number) <= high):
                return f"{name}={value}: it is an integer from {low} to {high}"
    elif name in WORDS and value not in WORDS[name]:
        return f"{name}={value}: it is one of {', '.join(WORDS[name])}"
    elif name == "CUDA_VISIBLE_DEVICES":
        for word in value.split(","):
            if not (word.strip().removeprefix("-").isdigit() or word.startswith(("GPU-", "MIG-")) or not value):
                return f"{name}={value}: it is numbers or names of cards (GPU-..., MIG-...) with commas between"
    elif name in ALLOCATORS:
        from launcher.allocator import wrong_option

        return wrong_option(name, value, target.torch())
    return ""


def _existing(name: str, value: str, origin: str, target: Target, notes: list[str]) -> str | None:
    """The entries of a loader's list that exist; only one under ${SITE_PACKAGES} may be missing."""
    preload = name == "LD_PRELOAD"
    entries, absent = [], []
    for entry in (value.replace(" ", ":") if preload else value).split(":"):
        if not entry:
            continue
        if preload and "/" not in entry:
            if not target.loader_finds(entry):
                raise LauncherError(f"{origin}: {name} holds {entry}, which the loader does not find; write its path")
            entries.append(entry)
        elif not entry.startswith("/"):
            raise LauncherError(f"{origin}: {name} holds {entry}, which is not an absolute path")
        elif os.path.isfile(entry) if preload else os.path.isdir(entry):
            entries.append(entry)
        elif target.known_site_packages and entry.startswith(f"{target.known_site_packages}/"):
            absent.append(entry)
        else:
            raise LauncherError(
                f"{origin}: {name} holds {entry}, and there is no such {'file' if preload else 'folder'}"
            )
    if not entries and not absent:
        notes.append(f"{origin}: {name} is empty and adds nothing to what is inherited; --unset {name} removes that")
    if absent:
        notes.append(f"{origin}: not installed, so left out of {name}: {', '.join(absent)}")
    return ":".join(entries) if entries else None


def doubts(plan: Plan, target: Target) -> list[str]:
    """Known harm in the final environment, what ~/.bashrc exported included."""
    environment, said = plan.environment, []
    for name in (*INTEGERS, *WORDS, *ALLOCATORS, "CUDA_VISIBLE_DEVICES"):
        if name in environment and name not in plan.entries and (fault := wrong(name, environment[name], target)):
            said.append(f"inherited {fault}")
    if "MALLOC_TRIM_THRESHOLD_" in environment and "MALLOC_MMAP_THRESHOLD_" not in environment:
        said.append(
            "MALLOC_TRIM_THRESHOLD_ without MALLOC_MMAP_THRESHOLD_ makes large CPU arrays several times slower; "
            "set both, or neither"
        )
    if "glibc.malloc" in environment.get("GLIBC_TUNABLES", "") and any(n.startswith("MALLOC_") for n in environment):
        said.append("GLIBC_TUNABLES and MALLOC_* are both set; glibc prefers the first; keep one of them")
    if environment.get("CUDA_LAUNCH_BLOCKING") == "1":
        said.append("CUDA_LAUNCH_BLOCKING=1 makes every kernel wait for the last; unset it unless you debug one")
    if environment.get("CUDA_DISABLE_PTX_JIT") == "1":
        said.append("CUDA_DISABLE_PTX_JIT=1 keeps CTranslate2 off a card newer than its build; unset it")
    # An empty value as a whole is no list; an empty entry of LD_PRELOAD loads nothing.
    libraries = environment.get("LD_LIBRARY_PATH", "")
    if "LD_LIBRARY_PATH" not in plan.entries and libraries and "" in libraries.split(":"):
        said.append(
            "inherited LD_LIBRARY_PATH has an empty entry: the loader searches the current directory; remove it"
        )
    if any(name in environment for name in ALLOCATORS):
        from launcher import allocator

        said += allocator.doubts(environment, target.torch(), any_torch=bool(target.command))
    return said
