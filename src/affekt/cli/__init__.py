"""The command line. Every import that takes time stands inside the command that needs it.

Exit codes: 0 done; 1 a user's mistake, told in one message; 2 wrong usage; 3 finished, but some
inputs failed and are listed.
"""

import os
import sys

from rich.console import Console
from rich.text import Text

from affekt import screen
from affekt.cli import bundle, export, listen, predict, serve, stream, train, view
from affekt.cli.app import app
from affekt.errors import AffektError

__all__ = [
    "app",
    "bundle",
    "export",
    "listen",
    "main",
    "predict",
    "serve",
    "stream",
    "train",
    "view",
]


def main() -> None:
    """Run the command line; a user's mistake is one message on standard error."""
    # Waiting threads sleep: spinning gains little, and costs tenfold beside another process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    screen.log()
    try:
        app()
    except AffektError as e:
        message = Text.assemble(("error: ", "red"), str(e))
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(1)
    except OSError as e:  # of the machine: no room, no right, no such place
        if e.filename is None and e.errno is None:
            raise
        where = f"{e.filename}: " if e.filename is not None else ""
        reason = (e.strerror or str(e)).lower()
        message = Text.assemble(("error: ", "red"), f"{where}{reason}; choose another place")
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
