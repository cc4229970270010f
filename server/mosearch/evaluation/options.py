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
only = click.option("--only", multiple=True, help="Use the repositories of this name; may be repeated.")
json_file = click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Save all figures here."
)
history = click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A git repository with a history, bare or not; it is cloned, not touched.",
)
