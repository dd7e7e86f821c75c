"""Fine-tuning from recipe to registry: on a real Ray Train where processes are the point, else in this one."""

import json
import shutil
from pathlib import Path

import pytest
from local_training import training_in_this_process
from safetensors.torch import load_file, save_file

from plait.adapters.metadata import check_adapter_folder
from plait.adapters.registry import AdapterVersion, Registry
from plait.adapters.tracking import tracking_client
from plait.errors import Conflict, InvalidInput, ModelNotFound, PlaitError
from plait.jobs.train.job import train
from plait.jobs.train.prepare import prepare
from plait.model_ids import AdapterRef
from plait.recipes import TrainRecipe, load_recipe
from plait.settings import settings

pytestmark = pytest.mark.usefixtures("ray_cluster")
IN_PLACE = pytest.mark.usefixtures("training_in_place")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "train.jsonl"
    rows = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(24)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def recipe(tiny_model: Path, dataset: Path, request: pytest.FixtureRequest) -> TrainRecipe:
    return recipe_of(request.node.name.replace("_", "-")[:60], tiny_model, dataset)


@pytest.fixture(scope="module")
def evaluated(tiny_model: Path, dataset: Path) -> TrainRecipe:
    """The recipe of `trained`."""
    recipe = recipe_of("trained-once", tiny_model, dataset)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"eval": str(dataset)})})


@pytest.fixture(scope="module")
def trained(ray_cluster: None, evaluated: TrainRecipe) -> AdapterVersion:
    """What several tests look at: the first version of an adapter."""
    with training_in_this_process():
        return train(evaluated)


def recipe_of(name: str, tiny_model: Path, dataset: Path) -> TrainRecipe:
    overrides = [
        f"name={name}",
        f"model.source={tiny_model}",
        "model.dtype=float32",
        f"data.train={dataset}",
        "data.packing=false",
        "train.epochs=2",
        "train.lr=5e-3",
        "train.seed=1",
        "scale.threads_per_worker=1",
    ]
    return load_recipe(TrainRecipe, None, overrides)


def with_overrides(recipe: TrainRecipe, **train: object) -> TrainRecipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=train)})


def test_a_run_ends_as_a_registered_adapter_with_its_lineage(evaluated: TrainRecipe, trained: AdapterVersion) -> None:
    assert (trained.name, trained.version) == (evaluated.name, 1)
    metadata = check_adapter_folder(trained.path)
    assert metadata.recipe == evaluated.model_dump(mode="json")
    assert metadata.base_model == evaluated.model.source
    assert metadata.metrics["steps"] == 6
    run = tracking_client().get_run(metadata.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.lr"] == "0.005"
    losses = tracking_client().get_metric_history(metadata.run_id, "loss")
    assert [m.step for m in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[-1].value < losses[0].value
    assert metadata.metrics["eval_loss"] < losses[0].value
    assert metadata.metrics["general_perplexity"] != metadata.metrics["general_perplexity_before"]
    artifacts = {file.path for file in tracking_client().list_artifacts(metadata.run_id)}
    assert {"loss.png", "samples.md"} <= artifacts


@IN_PLACE
def test_the_same_run_is_reused_a_changed_one_makes_a_new_version_and_the_registry_names_both(
    evaluated: TrainRecipe, trained: AdapterVersion
) -> None:
    assert train(evaluated, reuse=True).key == trained.key
    registry = Registry()
    assert registry.set_alias(AdapterRef(trained.name), "champion").aliases == ("champion",)
    assert registry.resolve(AdapterRef(trained.name, alias="champion")).key == trained.key
    changed = train(with_overrides(evaluated, max_steps=2), reuse=True)
    assert changed.version == 2
    with pytest.raises(ModelNotFound, match=f"Did you mean '{trained.name}'"):
        registry.resolve(AdapterRef(trained.name + "x"))
    with pytest.raises(ModelNotFound, match=r"has no version 9\. It has: 1, 2"):
        registry.resolve(AdapterRef(trained.name, 9))
    with pytest.raises(ModelNotFound, match=r"no alias 'champio'\. Did you mean 'champion'"):
        registry.resolve(AdapterRef(trained.name, alias="champio"))
    # One whose folder is broken does not hide the others.
    (changed.path / "plait.json").write_text("{}")
    assert trained.key in [version.key for version in registry.list()]


def test_two_workers_learn_what_one_learns(recipe: TrainRecipe, trained: AdapterVersion) -> None:
    scale = recipe.scale.model_copy(update={"workers": 2, "cpus_per_worker": 0.5})
    together = train(recipe.model_copy(update={"scale": scale}))
    assert together.metadata.metrics["loss"] == pytest.approx(trained.metadata.metrics["loss"], rel=1e-4)


@IN_PLACE
def test_a_batch_in_parts_teaches_what_the_whole_batch_teaches(recipe: TrainRecipe) -> None:
    whole = train(with_overrides(recipe, micro_batch_tokens=4096, max_steps=3))
    parts = train(with_overrides(recipe, micro_batch_tokens=64, max_steps=3))
    assert parts.metadata.metrics["loss"] == pytest.approx(whole.metadata.metrics["loss"], rel=1e-4)


def test_a_run_larger_than_the_cluster_is_refused_before_it_starts(recipe: TrainRecipe) -> None:
    greedy = recipe.model_copy(update={"scale": recipe.scale.model_copy(update={"gpus_per_worker": 64})})
    with pytest.raises(InvalidInput, match="asks for 64 GPUs, but the cluster has"):
        train(greedy)


@IN_PLACE
def test_a_loss_that_is_not_a_number_stops_the_run_with_a_sentence(recipe: TrainRecipe) -> None:
    exploding = with_overrides(recipe, lr=1e30, warmup_share=0.0)
    exploding = exploding.model_copy(update={"scale": recipe.scale.model_copy(update={"max_failures": 0})})
    with pytest.raises(PlaitError, match=r"The loss of step \d+ is nan.*Lower train\.lr"):
        train(exploding)


def test_target_modules_that_the_model_lacks_are_named(recipe: TrainRecipe) -> None:
    adapter = recipe.adapter.model_copy(update={"target_modules": ["no_such_layer"]})
    scale = recipe.scale.model_copy(update={"max_failures": 0})
    with pytest.raises(PlaitError, match="no_such_layer"):
        train(recipe.model_copy(update={"adapter": adapter, "scale": scale}))


def test_rows_longer_than_the_models_context_are_refused_before_anything_is_read(recipe: TrainRecipe) -> None:
    data = recipe.data.model_copy(update={"max_tokens": 513})
    with pytest.raises(InvalidInput, match=r"data\.max_tokens is 513, but .* can read 512"):
        train(recipe.model_copy(update={"data": data}))


@IN_PLACE
def test_an_adapter_is_trained_on_and_knows_its_parent(evaluated: TrainRecipe, trained: AdapterVersion) -> None:
    child = train(evaluated.model_copy(update={"name": "child", "continue_from": trained.key}))
    assert child.metadata.parent == trained.key
    assert child.metadata.metrics["eval_loss"] < trained.metadata.metrics["eval_loss"]


def test_an_adapter_is_not_trained_on_over_another_base_model_or_method(
    recipe: TrainRecipe, trained: AdapterVersion, tiny_model: Path, tmp_path: Path
) -> None:
    onward = recipe.model_copy(update={"continue_from": trained.key})
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidInput, match=f"'{trained.key}' was made on another base model .*Set model.source="):
        train(onward.model_copy(update={"model": recipe.model.model_copy(update={"source": str(other)})}))
    with pytest.raises(InvalidInput, match=r"is of method lora, the recipe of ia3.*Set adapter\.method=lora"):
        train(load_recipe(TrainRecipe, None, [*_fields(onward), "adapter.method=ia3"]))
    with pytest.raises(ModelNotFound):
        train(recipe.model_copy(update={"continue_from": "no-such-adapter"}))


def _fields(recipe: TrainRecipe) -> list[str]:
    return [
        f"name={recipe.name}",
        f"model.source={recipe.model.source}",
        f"data.train={recipe.data.train}",
        f"continue_from={recipe.continue_from}",
    ]


@IN_PLACE
def test_a_run_that_only_gets_worse_stops_early_and_its_best_checkpoint_is_kept(
    recipe: TrainRecipe, tmp_path: Path
) -> None:
    held_out = tmp_path / "eval.jsonl"
    held_out.write_text('{"question": "Who?", "answer": "Nobody that anybody would know, on the whole."}\n')
    data = recipe.data.model_copy(update={"eval": str(held_out)})
    overfitted = with_overrides(
        recipe.model_copy(update={"data": data}),
        epochs=40,
        lr=2e-2,
        checkpoint_every_steps=5,
        early_stopping_patience=2,
    )
    version = train(overfitted)

    history = tracking_client().get_metric_history(version.metadata.run_id, "eval_loss")
    losses = {m.step: m.value for m in history}
    assert max(losses) < 120
    assert version.metadata.metrics["steps"] == min(losses, key=lambda step: losses[step]) < max(losses)
    assert version.metadata.metrics["eval_loss"] == min(losses.values())


def test_the_same_run_twice_at_once_is_refused(recipe: TrainRecipe) -> None:
    from filelock import FileLock

    folder = settings().runs_dir / f"{recipe.name}-{prepare(recipe).key[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"), pytest.raises(Conflict, match="already training"):
        train(recipe)
