"""`python -m mosearch.training`: the pipeline that made the bundled model."""

from mosearch.training.commands import training_group

training_group(prog_name="python -m mosearch.training")
