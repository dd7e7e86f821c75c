"""What of a job travels to a cluster: the recipe and the user's data, nothing else."""

from pathlib import Path

import pytest
import yaml

from plait.errors import DataError, InvalidInput, RecipeError
from plait.jobs.submission import shipping
from plait.jobs.submission.order import JobOrder, make_order, read_recipe
from plait.jobs.submission.preflight import check_data
from plait.jobs.submission.shipping import paths_on_cluster, ship


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with more in it than a job needs."""
    folder = tmp_path / "user"
    (folder / "docs" / ".git").mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    (folder / "docs" / "a.md").write_text("# A\n\ntext")
    (folder / "docs" / ".git" / "config").write_text("secret")
    (folder / "id_rsa").write_text("secret")
    monkeypatch.chdir(folder)
    return folder


def train(*fields: str, gpus: int | None = None) -> JobOrder:
    return make_order("train", read_recipe("train", "lora", ["name=t", *fields], gpus))


def ingest(*sources: str) -> JobOrder:
    return make_order("ingest", read_recipe("ingest", None, [f"sources=[{', '.join(sources)}]"], None))


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_recipe_and_data_are_shipped(here: Path, tmp_path: Path) -> None:
    sent = ship(train("data.train=train.jsonl"), tmp_path / "out")
    assert files_of(tmp_path / "out") == {"recipe.yaml", "data/0/train.jsonl"}
    written = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert written["data"]["train"] == sent.recipe["data"]["train"] == "data/0/train.jsonl"
    assert written["train"]["lr"]  # all fields, overrides and defaults applied
    assert sent.metadata["plait.data"] == str(here / "train.jsonl")
    check_data(sent, tmp_path / "out", [])


def test_a_folder_comes_without_its_hidden_files(here: Path, tmp_path: Path) -> None:
    ship(ingest("docs"), tmp_path / "out")
    assert files_of(tmp_path / "out") == {"recipe.yaml", "data/0/docs/a.md"}


def test_a_pattern_keeps_its_wildcard(here: Path, tmp_path: Path) -> None:
    sent = ship(ingest("'docs/**/*.md'"), tmp_path / "out")
    assert sent.recipe["sources"] == ["data/0/**/*.md"]
    check_data(sent, tmp_path / "out", [])


@pytest.mark.parametrize("source", ["s3://bucket/train.jsonl", "hf://datasets/org/name", "org/dataset"])
def test_uris_and_hub_ids_stay(here: Path, tmp_path: Path, source: str) -> None:
    sent = ship(train(f"data.train={source}"), tmp_path / "out")
    assert sent.recipe["data"]["train"] == source
    assert files_of(tmp_path / "out") == {"recipe.yaml"}


def test_paths_of_the_cluster_are_neither_looked_for_nor_shipped(here: Path, tmp_path: Path) -> None:
    order = train("data.train=/mnt/shared/train.jsonl")
    sent = ship(order, tmp_path / "out", ["/mnt/shared"])
    check_data(sent, tmp_path / "out", ["/mnt/shared"])
    assert paths_on_cluster(sent, ["/mnt/shared"]) == ["/mnt/shared/train.jsonl"]
    with pytest.raises(DataError, match=r"no '/mnt/shared/train.jsonl' on this machine.*--on-cluster /mnt/shared"):
        ship(order, tmp_path / "again")


def test_on_the_same_machine_files_stay_where_they_are(here: Path, tmp_path: Path) -> None:
    sent = ship(train("data.train=train.jsonl"), tmp_path / "out", is_same_machine=True)
    assert sent.recipe["data"]["train"] == str(here / "train.jsonl")
    assert files_of(tmp_path / "out") == {"recipe.yaml"}


def test_more_than_ray_ships_is_refused(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "SIZE_LIMIT_BYTES", 10)
    with pytest.raises(DataError, match=r"larger than.*s3://.*--on-cluster"):
        ship(train("data.train=train.jsonl"), tmp_path / "out")


def test_data_that_hold_nothing_are_found_before_anything_starts(here: Path, tmp_path: Path) -> None:
    (here / "empty").mkdir()
    sent = ship(train("data.train=empty"), tmp_path / "out")
    (tmp_path / "out" / "data" / "0" / "empty").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no data files"):
        check_data(sent, tmp_path / "out", [])


def test_a_wrong_recipe_is_no_order() -> None:
    with pytest.raises(RecipeError, match=r"'train.lrr' is not known"):
        train("data.train=x", "train.lrr=1")
    with pytest.raises(InvalidInput, match=r"--num-gpus goes with train"):
        read_recipe("ingest", None, ["sources=[a]"], 2)


def test_num_gpus_is_one_worker_a_gpu() -> None:
    assert train("data.train=x", gpus=4).demand == {"CPU": 4, "GPU": 4}


def test_the_command_is_the_local_one_and_survives_the_shell() -> None:
    order = make_order(
        "evaluate", read_recipe("evaluate", None, ["data='a b.jsonl'", "models=[base]"], None), ["--url=a b"]
    )
    assert order.entrypoint == "python -m plait.jobs.evaluate recipe.yaml '--url=a b'"
    retried = train("data.train=x").model_copy(update={"retries": 2})
    assert retried.entrypoint == "python -m plait.jobs.submission.attempts 2 plait.jobs.train recipe.yaml"
