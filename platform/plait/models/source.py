"""From a model source to a folder that transformers and sentence-transformers can load.

In: `hub id | local folder | package:NAME`. Out: a local folder with config.json, safetensors and a tokenizer. A package
may carry such a folder, or a GGUF file, which is dequantised once and kept under PLAIT_HOME. This module loads nothing
into memory and does not know what a model is for.
"""

import re
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from plait import library_output
from plait.errors import ModelNotFound, first_line
from plait.models.gguf import dequantise
from plait.settings import settings

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PACKAGE = "package:"
ENDPOINT = "openai:"
"""Before the name of a model of the embedding endpoint (plait.models.encoders.endpoint)."""
_MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # no pickles


def is_endpoint(source: str) -> bool:
    """Whether a model source names a model of the embedding endpoint, which has no folder."""
    return source.startswith(ENDPOINT)


def resolve_model(source: str) -> Path:
    """The folder of a model source; fetches or converts it the first time.

    Raises:
        ModelNotFound: when there is no such folder, package or hub model, or it holds no model.
    """
    if source.startswith(_PACKAGE):
        return _from_package(source.removeprefix(_PACKAGE))
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelNotFound(f"The folder '{source}' holds no model.", "It needs a config.json and *.safetensors.")
        return folder.resolve()
    if not _HUB_ID.fullmatch(source) or source.startswith("."):
        raise ModelNotFound(
            f"There is no model folder '{source}'.", "Give a folder, a hub id (org/name) or package:NAME."
        )
    return _from_hub(source)


def _from_package(name: str) -> Path:
    try:
        package = distribution(name)
    except PackageNotFoundError:
        raise ModelNotFound(f"The model package '{name}' is not installed.", f"Run: pip install {name}") from None
    for file in package.files or []:
        folder = Path(str(package.locate_file(file))).parent
        if file.name == "config.json" and any(folder.glob("*.safetensors")):
            return folder
    return _from_gguf_package(package)


def _from_gguf_package(package: Distribution) -> Path:
    """Dequantise the GGUF of a package, either a file of it or joined by its `assemble` from several packages."""
    folder = settings().models_dir / f"{package.name}-{package.version}"
    if (folder / "config.json").is_file():
        return folder
    for file in package.files or []:
        if file.name.endswith(".gguf"):
            return dequantise(Path(str(package.locate_file(file))), folder)
    for module_name in sorted({file.parts[0] for file in package.files or [] if file.name == "__init__.py"}):
        assemble = getattr(import_module(module_name), "assemble", None)
        if assemble is not None:
            settings().models_dir.mkdir(parents=True, exist_ok=True)
            joined = settings().models_dir / f"{package.name}-{package.version}.gguf"
            try:
                return dequantise(assemble(joined, overwrite=True), folder)
            finally:
                joined.unlink(missing_ok=True)
    raise ModelNotFound(
        f"The package '{package.name}' holds no model.", "It needs a folder with safetensors, or a GGUF file."
    )


def _bar() -> Any:
    """A progress bar of a download, which may take minutes: shown on a terminal, and in no log."""
    from tqdm.auto import tqdm  # the hub's own is off for the whole process once transformers is quiet

    stream = library_output.stderr()

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"file": stream, "disable": not stream.isatty()})

    return Bar


def _from_hub(model_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model_id, allow_patterns=_MODEL_FILES, tqdm_class=_bar()))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"'{model_id}' is neither a local folder nor a hub model that could be fetched ({first_line(error)}).",
            "Check the id, your network and HF_TOKEN, or use a folder or package:NAME.",
        ) from error
