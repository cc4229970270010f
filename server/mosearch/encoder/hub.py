"""Models of the Hugging Face hub: found in its local cache, and fetched when the user asks for it.

Looking into the cache never touches the network.  Only data is fetched: no file of program code.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

from mosearch.encoder.config import CONFIG_FILE
from mosearch.errors import ModelError

_MOSE = "modularStarEncoder/ModularStarEncoder-finetuned"

KNOWN_MODELS = {
    "mose-1b": _MOSE,
    "mose-1b-27": f"{_MOSE}-27",
    "mose-1b-18": f"{_MOSE}-18",
    "mose-1b-9": f"{_MOSE}-9",
    "mose-1b-4": f"{_MOSE}-4",
}
"""Our short names; the number is that of the layers that a truncated variant keeps."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = ("*.json", "*.safetensors", "README.md", "LICENSE*")
_BLOCK = 1 << 20


def hub_name(name: str) -> str | None:
    """`owner/name` for one of our short names or such a name itself; None for anything else."""
    return KNOWN_MODELS.get(name) or (name if _HUB_NAME.fullmatch(name) else None)


def cached_model(name: str) -> Path | None:
    """The folder of a hub model's main revision in the local cache; None if it is not (wholly) there."""
    # Only this module of the library, as the others import an HTTP client.
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    with suppress(OSError, UnicodeDecodeError):
        revision = (repository / "refs" / "main").read_text("utf-8").strip()
        folder = repository / "snapshots" / revision
        if revision and (folder / CONFIG_FILE).is_file():
            return folder
    return None


def pull_model(name: str, endpoint: str | None = None) -> Path:
    """Fetch a hub model into the cache, going on where an earlier attempt ended, and check what came.

    `endpoint` is the hub's address (None: that of the library's own settings).  The library shows its
    progress on standard error.  Raises ModelError when the hub cannot be reached, has no such model, or sent
    something else than it announced.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    address = endpoint or constants.ENDPOINT
    try:
        folder = snapshot_download(
            name,
            cache_dir=constants.HF_HUB_CACHE,
            endpoint=address,
            allow_patterns=list(_WANTED),
        )
    except GatedRepoError as error:
        raise ModelError(
            f"{name} asks for consent to its licence. Give it on {address}/{name}, log in with "
            "`hf auth login`, and pull again."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"{address} has no public model {name}. Check the name.") from error
    except Exception as error:  # which HTTP client raises what differs between versions of the library
        raise ModelError(
            f"Cannot fetch {name} from {address} ({_first_line(error)}). "
            "Check the connection and pull again; what has arrived is kept."
        ) from error
    _verify(Path(folder))
    return Path(folder)


def _verify(folder: Path) -> None:
    """Compare each file with the hash that names it in the cache, and remove those that differ."""
    damaged = [file.name for file in sorted(folder.iterdir()) if not _is_intact(file)]
    if damaged:
        raise ModelError(f"{', '.join(damaged)} in {folder} arrived damaged and was removed. Pull again.")


def _is_intact(file: Path) -> bool:
    blob = file.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        state = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", blob.name):
        # Small files bear git's name for their content.
        state = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return True  # a system without symbolic links, where the cache keeps no hashes
    with blob.open("rb") as opened:
        while block := opened.read(_BLOCK):
            state.update(block)
    if state.hexdigest() == blob.name:
        return True
    blob.unlink()
    file.unlink()
    return False


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), repr(error)).rstrip(".")
