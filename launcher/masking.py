"""Which values must never be printed, and a start's words without them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from launcher.environment import Plan

WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD")
HIDDEN = "***"
# A secret shorter than this would blank out half the page and hide nothing.
LEAST = 6


def is_secret(name: str) -> bool:
    """Whether the name says that its value must never be printed: HF_TOKEN, APIKEY, but not TOKENIZERS_PARALLELISM."""
    return any(word in name.upper().replace("TOKENIZER", "") for word in WORDS)


class Mask:
    """Hides the values of secrets, wherever they turn up."""

    def __init__(self, plan: "Plan") -> None:
        known = [value for name, value in plan.environment.items() if is_secret(name)]
        # One that was replaced or left out may stand, expanded, in another value or on the command line.
        for entry in (*plan.entries.values(), *plan.dropped):
            if is_secret(entry.name):
                known += [entry.value, *(value for _, value in entry.replaced)]
        self.secrets = sorted((value for value in known if len(value) >= LEAST), key=len, reverse=True)

    def __call__(self, value: str, name: str = "") -> str:
        """`value`, which is that of `name`, as it may be shown."""
        if is_secret(name):
            return HIDDEN
        for secret in self.secrets:
            value = value.replace(secret, HIDDEN)
        return value
