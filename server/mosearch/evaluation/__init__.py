"""How well the models retrieve: metrics, development sets, baselines and the `mosearch eval` commands."""

from mosearch.evaluation.measure import Cost, Report, Result, evaluate_bm25, evaluate_encoder
from mosearch.evaluation.metrics import Quality, quality
from mosearch.evaluation.tasks import Task, data_folder, development_tasks, held_out_tasks

__all__ = [
    "Cost",
    "Quality",
    "Report",
    "Result",
    "Task",
    "data_folder",
    "development_tasks",
    "evaluate_bm25",
    "evaluate_encoder",
    "held_out_tasks",
    "quality",
]
