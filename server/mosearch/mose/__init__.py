"""The multi-exit encoder and the process that hosts it: the only room with torch in it."""

from mosearch.mose.checkpoint import load_model, save_model
from mosearch.mose.inference import Encoder, load
from mosearch.mose.model import MultiExitEncoder

__all__ = ["Encoder", "MultiExitEncoder", "load", "load_model", "save_model"]
