"""The user's recipe and data, made into the folder that a cluster works in.

In: an order and a folder to fill. Out: the order with its paths rewritten, and that folder: the recipe, and the data
that lies on this machine. Nothing else is in it: no code, no home, no repository.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import yaml

from plait.errors import DataError
from plait.jobs.submission.order import RECIPE_FILE, JobOrder, Kind

SIZE_LIMIT_BYTES = 500 * 2**20
"""Ray keeps what is shipped in the memory of the head, and takes less than 512 MiB, zipped."""

_TRAIN = ("data.train", "data.eval", "data.general", "data.rehearsal", "data.context.rerank_model", "model.source")
_INGEST = ("sources", "embedding.model", "embedding.tokenizer")
_PATHS: Mapping[Kind, Sequence[str]] = {
    "train": _TRAIN,
    "ingest": _INGEST,
    "evaluate": ("data",),
    "compare": (
        *("data", "model", "icl.examples", "changed.documents", "changed.train"),
        *(f"tuned.*.{field}" for field in _TRAIN),
        *(f"ingest.{field}" for field in _INGEST),
    ),
}
"""Fields that name data, by kind of job; `*` is any name."""
_OPTIONAL = (
    *("model", "model.source", "embedding.model", "embedding.tokenizer", "rerank_model"),
    *("data.general", "data.rehearsal"),
)
"""Fields that may hold a name (of a model, of what is built in) that looks like a path."""


def ship(order: JobOrder, folder: Path, on_cluster: Sequence[str] = (), is_same_machine: bool = False) -> JobOrder:
    """Fill a folder with the recipe and its data.

    Args:
        on_cluster: paths below these are the cluster's own: neither looked for here nor shipped.
        is_same_machine: the cluster sees this machine's files: they stay where they are, named absolutely.

    Raises:
        DataError: for a path that is not there, and for more data than Ray ships.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shipment = _Shipment(folder, [Path(prefix) for prefix in on_cluster], is_same_machine)
    recipe = _rewritten(order, shipment.place)
    (folder / RECIPE_FILE).write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    shipped = {"plait.data": ", ".join(shipment.originals)[:500]} if shipment.originals else {}
    return order.model_copy(update={"recipe": recipe, "metadata": {**order.metadata, **shipped}})


def paths_on_cluster(order: JobOrder, on_cluster: Sequence[str]) -> list[str]:
    """The paths of a recipe that the cluster itself must have."""
    found: list[str] = []

    def note(value: str, _: bool) -> str:
        if any(Path(value).is_relative_to(prefix) for prefix in on_cluster) and not has_magic(value):
            found.append(value)
        return value

    _rewritten(order, note)
    return found


def _rewritten(order: JobOrder, place: Callable[[str, bool], str]) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load(yaml.safe_dump(order.recipe))
    for dotted in _PATHS[order.kind]:
        *parents, last = dotted.split(".")
        may_be_a_name = dotted.endswith(_OPTIONAL)
        for section in _sections(recipe, parents):
            value = section.get(last)
            if isinstance(value, list):
                section[last] = [place(item, may_be_a_name) for item in value]
            elif value is not None:
                section[last] = place(value, may_be_a_name)
    return recipe


def _sections(values: Any, path: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The mappings at a path, as far as they are there."""
    if not values:
        return
    if not path:
        yield values
    elif path[0] == "*":
        for section in values.values():
            yield from _sections(section, path[1:])
    else:
        yield from _sections(values.get(path[0]), path[1:])


class _Shipment:
    """Files on their way into a folder; a file that two fields name goes once."""

    def __init__(self, folder: Path, on_cluster: Sequence[Path], is_same_machine: bool) -> None:
        self._folder = folder
        self._on_cluster = on_cluster
        self._is_same_machine = is_same_machine
        self._bytes = 0
        self._places: dict[str, str] = {}
        self.originals: list[str] = []

    def place(self, value: str, may_be_a_name: bool) -> str:
        """What the recipe shall say instead of a path; URIs and names stay as they are."""
        if "://" in value or any(Path(value).is_relative_to(prefix) for prefix in self._on_cluster):
            return value
        path = Path(value).expanduser()
        matches = sorted(glob(str(path), recursive=True)) if has_magic(value) else [str(path)] * path.exists()
        if not matches:
            # A hub id (org/name) has the shape of a path too; what begins with a dot or a slash is a path.
            is_hub_id = value.count("/") == 1 and not path.suffix and not path.parent.exists()
            if is_hub_id or (may_be_a_name and not value.startswith((".", "/", "~"))):
                return value
            raise DataError(
                f"There is no '{value}' on this machine.",
                f"Correct the recipe; if the cluster has it: --on-cluster {path.parent}",
            )
        if self._is_same_machine:
            return str(path.absolute())
        if value not in self._places:
            self.originals.append(str(path.absolute()))
            self._places[value] = self._copy(path, matches)
        return self._places[value]

    def _copy(self, path: Path, matches: Sequence[str]) -> str:
        place = Path("data") / str(len(self._places))
        # A pattern keeps its wildcards: what stands before the first of them is the folder that is shipped.
        fixed = Path(*_before_wildcard(path)) if has_magic(str(path)) else path.parent
        for match in matches:
            self._add(Path(match), self._folder / place / Path(match).relative_to(fixed))
        return str(place / path.relative_to(fixed))

    def _add(self, source: Path, target: Path) -> None:
        if source.is_dir():
            for root, folders, files in os.walk(source):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in files:
                    if not name.startswith("."):
                        file = Path(root) / name
                        self._add_file(file, target / file.relative_to(source))
        else:
            self._add_file(source, target)

    def _add_file(self, source: Path, target: Path) -> None:
        self._bytes += source.stat().st_size
        if self._bytes > SIZE_LIMIT_BYTES:
            raise DataError(
                f"The data of this job is larger than the {SIZE_LIMIT_BYTES >> 20} MiB that Ray ships.",
                "Put it into a bucket (s3://…, gs://…), or on a path that the cluster sees: --on-cluster /mnt/shared",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(source, target)


def _before_wildcard(path: Path) -> list[str]:
    fixed = []
    for part in path.parts:
        if has_magic(part):
            break
        fixed.append(part)
    return fixed
