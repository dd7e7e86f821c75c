"""Is the memory that `plait plan` says the memory that `plait train` takes?

Three steps of every recipe on Gemma 3 270M, each by a worker of its own: the peak of its resident memory, and the plan.
"""

import json
import tempfile
from pathlib import Path
from statistics import median

from harness.homes import own_home, stop
from harness.results import options, publish

from plait.jobs.plan.estimate import estimate
from plait.jobs.train.job import train
from plait.recipes import load_recipe
from plait.recipes.train import TrainRecipe

_FULL = ["adapter.method=full", "strategy.kind=deepspeed", "scale.workers=1", "train.gradient_checkpointing=false"]
_RUNS: dict[str, tuple[str, list[str]]] = {
    "LoRA": ("lora", []),
    "LoRA, 2,048 tokens at once": ("lora", ["train.micro_batch_tokens=2048"]),
    "LoRA, gradient checkpointing": ("lora", ["train.gradient_checkpointing=true"]),
    "QLoRA": ("qlora", []),
    "DoRA": ("dora", []),
    "IA3": ("ia3", []),
    "bottleneck": ("bottleneck", []),
    "full, ZeRO-2": ("full-zero2", _FULL),
    "full, ZeRO-3": ("full-zero3", _FULL),
}
_QUICK = ("LoRA",)


def main() -> None:
    given = options(__doc__ or "", runs=1)
    measured: dict[str, list[float]] = {}
    planned: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        data = Path(folder) / "train.jsonl"
        rows = [{"prompt": f"Count from {i}.", "completion": " ".join(map(str, range(i, i + 110)))} for i in range(60)]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for number in range(given.runs):
            for index, (name, (ready, overrides)) in enumerate(_RUNS.items()):
                if given.quick and name not in _QUICK:
                    continue
                common = [f"name=run-{number}-{index}", f"data.train={data}", "train.batch_size=4", "train.max_steps=3"]
                recipe = load_recipe(TrainRecipe, ready, [*common, "train.samples=0", *overrides])
                planned[name] = estimate(recipe).memory.peak_bytes
                peak = _peak_bytes(recipe)
                measured.setdefault(name, []).append(peak)
                print(f"{name}: planned {planned[name] / 1e9:.2f} GB, took {peak / 1e9:.2f} GB", flush=True)
        stop()
    ratios = {name: round(planned[name] / median(values), 3) for name, values in measured.items()}
    lines = ["| run | planned, GB | measured, GB | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {planned[name] / 1e9:.2f} | {median(values) / 1e9:.2f} | {ratios[name]:.2f} |"
        for name, values in measured.items()
    ]
    publish("memory_plan", "Memory, planned and measured", "\n".join(lines), ratios, given)


def _peak_bytes(recipe: TrainRecipe) -> float:
    from plait.adapters.tracking import tracking_client

    version = train(recipe)
    history = tracking_client().get_metric_history(version.metadata.run_id, "memory_bytes")
    return max(point.value for point in history)


if __name__ == "__main__":
    main()
