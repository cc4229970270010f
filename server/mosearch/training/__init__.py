"""How the bundled model was made: harvest, filter, pair, train, export.

Nothing imports this room; `python -m mosearch.training` runs it.
"""
