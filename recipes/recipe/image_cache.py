import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from recipe.images import Images

_VERSION = "2"
"""Of what is kept, from 2 on with sorted images mixed; files of other versions are not used."""


def cached(fingerprint: Iterable[str], make: Callable[[], Images]) -> Images:
    """The images that `make` returns, kept decoded on disk under the data's fingerprint.

    The next start with the same fingerprint maps the file into memory instead of decoding. Files
    lie in `$XDG_CACHE_HOME/freqreg` (`~/.cache/freqreg`), may be deleted at any time, and are
    renamed into place whole, so processes started together do not disturb each other.
    """
    path = cache_folder() / f"{_digest(fingerprint)}.safetensors"
    if not path.exists():
        _save(make(), path)
    return _load(path)


def cache_folder() -> Path:
    """Where decoded image sets are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "freqreg"


def _digest(fingerprint: Iterable[str]) -> str:
    return hashlib.sha256("\n".join([_VERSION, *fingerprint]).encode()).hexdigest()[:32]


def _save(images: Images, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"pixels": images.pixels, "labels": images.labels}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        save_file(tensors, whole, metadata={"class_names": json.dumps(images.class_names)})
        whole.replace(path)


def _load(path: Path) -> Images:
    with safe_open(path, framework="pt") as file:
        class_names = tuple(json.loads(file.metadata()["class_names"]))
        return Images(file.get_tensor("pixels"), file.get_tensor("labels"), class_names)
