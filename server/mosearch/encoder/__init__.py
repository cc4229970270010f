"""The torch-free side of the encoder: model folders, the protocol, the host process and its client."""

from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.encoder.models import find_model, model_info

__all__ = ["ExitConfig", "ModelConfig", "find_model", "model_info"]
