"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

data = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the development sets."
)
checkouts = click.option(
    "--checkouts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with one checkout per repository, under its name.",
)
