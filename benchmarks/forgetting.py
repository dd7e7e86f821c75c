"""What does learning make a model forget, and what does each remedy save and cost?

Gemma 3 270M learns the versions of 40 invented packages, each in four phrasings, by LoRA: with nothing against
forgetting, with one remedy at a time, and as the ready recipe does it. Measured: how many versions it says when asked
in other words, its perplexity on general prose (that of docs/train.md), and its choices in 40 plain questions.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.homes import own_home, stop
from harness.known_facts import Questions, write_training_rows
from harness.results import options, publish

from plait.adapters.registry import AdapterVersion
from plait.adapters.tracking import tracking_client
from plait.jobs.train.job import train
from plait.jobs.train.trainable import Trainable
from plait.models.source import resolve_model
from plait.recipes import TrainRecipe, load_recipe

# Overrides of the ready recipe `lora`, which every variant trains the same steps of.
_OFF = ("data.rehearsal_share=0", "train.kl_weight=0")
_VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": _OFF,
    "high_rate": (*_OFF, "train.lr=1e-3", "train.warmup_share=0.05"),
    "rehearsal": ("train.rehearsal_weight=1", "train.kl_weight=0"),
    "defaults": (),
}
_WORDS = {
    "plain": "nothing",
    "high_rate": "nothing, at 1e-3 after a twentieth of the steps",
    "rehearsal": "rehearsal instead of KL",
    "defaults": "KL to the base: the recipe's defaults",
}
_QUICK = ("plain", "defaults")


@dataclass(frozen=True)
class Measured:
    """What a model can do: shares in [0, 1]; the perplexity of general prose; the seconds that training steps took."""

    learned: float
    general: float
    perplexity: float
    seconds: float = 0.0


def main() -> None:
    given = options(__doc__ or "", runs=1, cases=tuple(_VARIANTS))
    names = [name for name in given.cases if not given.quick or name in _QUICK]
    found: dict[str, list[Measured]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        data = Path(folder) / "train.jsonl"
        write_training_rows(data)
        before: Measured | None = None
        for seed in range(given.runs):
            for name in names:
                recipe = _recipe(name, data, seed)
                version = train(recipe)
                before = before or _measured(recipe, version, is_base=True)
                found[name].append(_measured(recipe, version))
                print(f"{name}: {found[name][-1]}, before {before}", flush=True)
        stop()
    assert before is not None, "there is a run"
    publish("forgetting", "What learning makes a model forget", _body(found, before), _ratios(found, before), given)


def _recipe(name: str, data: Path, seed: int) -> TrainRecipe:
    # Forty facts want more weights and more passes than the ready recipe has, and as many steps as a pass has rows.
    learning = ("adapter.rank=32", "adapter.alpha=64", "train.epochs=7", "train.batch_size=1")
    run = (f"name={name}", f"data.train={data}", f"train.seed={seed}", "train.samples=0")
    return load_recipe(TrainRecipe, "lora", [*run, *learning, "train.checkpoint_every_steps=1000", *_VARIANTS[name]])


def _measured(recipe: TrainRecipe, version: AdapterVersion, is_base: bool = False) -> Measured:
    base = resolve_model(recipe.model.source)
    model, questions = Trainable.new(base, recipe, version.path).eval(), Questions(base)
    with model.adapter_off() if is_base else nullcontext():
        learned, general = questions.learned_share(model), questions.general_share(model)
    perplexity = version.metadata.metrics["general_perplexity_before" if is_base else "general_perplexity"]
    return Measured(learned, general, perplexity, 0.0 if is_base else _seconds(version))


def _seconds(version: AdapterVersion) -> float:
    client, run_id = tracking_client(), version.metadata.run_id
    tokens, rates = (
        {point.step: point.value for point in client.get_metric_history(run_id, name)}
        for name in ("tokens", "tokens_per_second")
    )
    return sum(tokens[step] / rates[step] for step in tokens)


def _ratios(found: Mapping[str, Sequence[Measured]], before: Measured) -> dict[str, float]:
    """Of the defaults, where they and plain training were both measured."""
    if not {"plain", "defaults"} <= found.keys():
        return {}
    ours, plain = found["defaults"], found["plain"]
    ratios = {
        "perplexity_after_vs_before": median(m.perplexity for m in ours) / before.perplexity,
        "plain_perplexity_after_vs_before": median(m.perplexity for m in plain) / before.perplexity,
        "learned_accuracy_vs_plain": median(m.learned for m in ours) / max(median(m.learned for m in plain), 1e-9),
        "general_accuracy_after_vs_before": median(m.general for m in ours) / before.general,
        "seconds_vs_plain": median(m.seconds for m in ours) / median(m.seconds for m in plain),
    }
    return {name: round(value, 3) for name, value in ratios.items()}


def _body(found: Mapping[str, Sequence[Measured]], before: Measured) -> str:
    ready = _recipe("defaults", Path("train.jsonl"), seed=0)
    lines = [
        "Gemma 3 270M learns the versions of 40 invented packages, each in four phrasings: LoRA of rank 32, "
        f"{ready.train.epochs:g} passes,",
        f"a row of 512 tokens a step, a rate of {ready.train.lr:g} after {ready.train.warmup_share:.0%} of the steps, "
        "the rest as in the recipe `lora`. Learned: how",
        "many of 80 questions in other words it answers. The general text that is trained beside them, "
        f"{ready.data.rehearsal_share:.0%} of the tokens, is",
        "Python's language reference; perplexity is that of other prose; the plain questions are 40 of four choices.",
        "",
        "| against forgetting | learned | perplexity | of before | plain questions | training steps, s |",
        "|---|---|---|---|---|---|",
        f"| (before training) | {before.learned:.0%} | {before.perplexity:.1f} | | {before.general:.1%} | |",
    ]
    for name, runs in found.items():
        perplexity = median(m.perplexity for m in runs)
        lines.append(
            f"| {_WORDS[name]} | {median(m.learned for m in runs):.0%} | {perplexity:.1f} | "
            f"{perplexity / before.perplexity:.2f} | {median(m.general for m in runs):.1%} | "
            f"{median(m.seconds for m in runs):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
