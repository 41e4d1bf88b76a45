import sys

# `python -m launcher` puts the current directory first; a json.py there must not stand in for the real one.
if not sys.flags.safe_path:
    del sys.path[0]

from launcher.cli import entry

sys.exit(entry())
