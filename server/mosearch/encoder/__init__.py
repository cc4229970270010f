"""The torch-free side of the encoder: model folders, tokens, the static exit, the host and its client."""

from mosearch.encoder.client import EncoderClient, connect
from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.encoder.models import find_model, load_config, model_info
from mosearch.encoder.protocol import HostStatus

__all__ = [
    "EncoderClient",
    "ExitConfig",
    "HostStatus",
    "ModelConfig",
    "connect",
    "find_model",
    "load_config",
    "model_info",
]
