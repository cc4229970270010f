"""The command line: a thin skin over `mosearch.engine`.

Everything heavy is imported inside the command that needs it, so that `mosearch --help` is instant.
"""

from mosearch.cli.main import main

__all__ = ["main"]
