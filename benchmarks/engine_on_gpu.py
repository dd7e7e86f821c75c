"""What does the torch engine make of a GPU, and what does mixing adapters cost there?

Random weights in the shapes of real models: speed does not depend on what they say. Prompts of 128 tokens, no two
alike, 128 out, greedy; adapters are LoRA of all linear layers. The peer is a plain loop: transformers' generate, on
full batches, on the same GPU.
"""

import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from harness.engine import EngineClient
from harness.load import Completion, Load, run
from harness.results import Options, options, publish, spread
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, PreTrainedTokenizerFast

from plait.engines.torch.engine import TorchEngine
from plait.models.load import load_causal_lm

PROMPT_TOKENS, ANSWER_TOKENS = 128, 128
SHAPES: dict[str, Any] = {
    "Gemma 3 270M": Gemma3TextConfig(
        vocab_size=262_144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=512,
        max_position_embeddings=32_768,
    ),
    "Llama 3.1 8B": LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131_072,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    ),
}


@dataclass(frozen=True)
class Case:
    """How many ask at once, and for which adapters; rank 0 asks for the base model."""

    words: str
    concurrent: int
    adapters: int = 0
    rank: int = 0


CASES = (
    Case("base model, one stream", 1),
    Case("base model, 16 at a time", 16),
    Case("4 adapters of rank 8 mixed, 16 at a time", 16, 4, 8),
    Case("4 adapters of rank 64 mixed, 16 at a time", 16, 4, 64),
    Case("base model, 64 at a time", 64),
    Case("4 adapters of rank 8 mixed, 64 at a time", 64, 4, 8),
    Case("32 adapters of rank 8 mixed, 64 at a time", 64, 32, 8),
)


def main() -> None:
    given = options(__doc__ or "", systems=list(SHAPES))
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark is about GPUs, and there is none here.")
    lines: list[str] = []
    ratios: dict[str, float] = {}
    for name in given.systems:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            table, of_shape = _measure(name, Path(folder), given)
        lines += [f"### {name}", "", *table, ""]
        ratios |= of_shape
    title = f"The torch engine on a GPU ({torch.cuda.get_device_name()})"
    publish("engine_on_gpu", title, _INTRODUCTION + "\n".join(lines), ratios, given)


_INTRODUCTION = f"""Random weights in bfloat16, {PROMPT_TOKENS} tokens in, {ANSWER_TOKENS} out, greedy; adapters on all
linear layers. The engine is called directly. The plain loop is transformers' `generate` on full batches.

"""


def _measure(name: str, folder: Path, given: Options) -> tuple[list[str], dict[str, float]]:
    _make_model(name, folder / "base")
    loops = {n: [_plain_loop(folder / "base", n) for _ in range(given.runs + 1)][1:] for n in (1, 16, 64)}
    torch.cuda.empty_cache()
    engine = TorchEngine(folder / "base", max_batch_size=64, max_context_tokens=1024, max_step_tokens=2048)
    rounds = asyncio.run(_rounds(engine, SHAPES[name], folder, given))
    speed = {case: median(load.tokens_per_second for load in loads) for case, loads in rounds.items()}
    base = {case.concurrent: tokens for case, tokens in speed.items() if not case.adapters}
    short = name.split()[0].lower()
    ratios = {
        f"{short}_{c.adapters}x{c.rank}_at_{c.concurrent}_of_base": speed[c] / base[c.concurrent]
        for c in CASES
        if c.adapters
    }
    ratios |= {f"{short}_at_{n}_of_plain_loop": base[n] / median(loop) for n, loop in loops.items()}
    lines = [
        "| | tokens/s | time to first token, ms | of the base model's | plain loop, tokens/s |",
        "|---|---|---|---|---|",
    ]
    for case, loads in rounds.items():
        ttft = spread([1000 * load.ttft_p50_s for load in loads])
        share = f"{speed[case] / base[case.concurrent]:.2f}" if case.adapters else ""
        loop = "" if case.adapters else spread(loops[case.concurrent])
        lines.append(f"| {case.words} | {spread([x.tokens_per_second for x in loads])} | {ttft} | {share} | {loop} |")
    return lines, {key: round(value, 3) for key, value in ratios.items()}


async def _rounds(engine: TorchEngine, config: Any, folder: Path, given: Options) -> dict[Case, list[Load]]:
    client, chance = EngineClient(engine), random.Random(0)
    found: dict[Case, list[Load]] = {}
    for case in CASES:
        names = [f"r{case.rank}-{i}" for i in range(case.adapters)]
        for name in names:
            await engine.load_adapter(name, _adapter(config, case.rank, folder))
        count = (2 if case.concurrent > 1 else 1) * case.concurrent
        loads = found[case] = []
        for number in range(given.runs + 1):
            wanted = [
                Completion((names or ["base"])[i % max(len(names), 1)], _prompt(chance), ANSWER_TOKENS)
                for i in range(count)
            ]
            load = await run(client.complete, wanted, case.concurrent)
            if number:
                loads.append(load)
        print(
            f"{case.words}: {loads[-1].tokens_per_second:.0f} tokens/s, {1000 * loads[-1].ttft_p50_s:.0f} ms",
            flush=True,
        )
        for name in names:
            await engine.unload_adapter(name)
    return found


def _prompt(chance: random.Random) -> str:
    """A digit is a token, and BOS is one."""
    return "".join(chance.choices("0123456789", k=PROMPT_TOKENS - 1))


def _plain_loop(base: Path, batch: int) -> float:
    """Tokens/s of transformers' generate."""
    model = load_causal_lm(base)
    ids = torch.randint(3, 200, (batch, PROMPT_TOKENS), device="cuda")

    def generate(tokens: int) -> None:
        model.generate(
            ids, attention_mask=torch.ones_like(ids), min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False
        )
        torch.cuda.synchronize()

    generate(4)
    started = time.perf_counter()
    generate(ANSWER_TOKENS)
    return batch * ANSWER_TOKENS / (time.perf_counter() - started)


def _make_model(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(SHAPES[name], dtype=torch.bfloat16)
    model.save_pretrained(folder)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        [], trainers.BpeTrainer(special_tokens=["<pad>", "<eos>", "<bos>"], initial_alphabet=alphabet)
    )
    bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>"
    ).save_pretrained(folder)


def _adapter(config: Any, rank: int, folder: Path) -> Path:
    """A LoRA as PEFT saves it, of random weights; made once for each rank."""
    made = folder / f"rank-{rank}"
    if made.is_dir():
        return made
    made.mkdir()
    heads, keys, width, inner = (
        config.num_attention_heads,
        config.num_key_value_heads,
        config.hidden_size,
        config.intermediate_size,
    )
    dim = config.head_dim
    sizes = {
        "self_attn.q_proj": (width, heads * dim),
        "self_attn.k_proj": (width, keys * dim),
        "self_attn.v_proj": (width, keys * dim),
        "self_attn.o_proj": (heads * dim, width),
        "mlp.gate_proj": (width, inner),
        "mlp.up_proj": (width, inner),
        "mlp.down_proj": (inner, width),
    }
    weights = {}
    for layer in range(config.num_hidden_layers):
        for module, (inputs, outputs) in sizes.items():
            where = f"base_model.model.model.layers.{layer}.{module}"
            weights[f"{where}.lora_A.weight"] = torch.randn(rank, inputs, dtype=torch.bfloat16) * inputs**-0.5
            weights[f"{where}.lora_B.weight"] = torch.randn(outputs, rank, dtype=torch.bfloat16) * 0.002
    save_file(weights, made / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": [module.rpartition(".")[2] for module in sizes],
        "base_model_name_or_path": "",
    }
    (made / "adapter_config.json").write_text(json.dumps(settings))
    return made


if __name__ == "__main__":
    main()
