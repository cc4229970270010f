"""`python -m mosearch`: the same as the `mosearch` command."""

from mosearch.cli import main

main()
