"""The torch engine where there is CUDA: the text of the CPU, with the base model and with mixed adapters."""

import asyncio
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from plait.engines.engine import GenerationRequest, Sampling
from plait.engines.torch.engine import TorchEngine
from plait.models.load import load_causal_lm

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU: the engine on CUDA is UNTESTED here."),
]
PROMPT = "Question: which version?\nAnswer:"


@pytest.fixture
def adapters(tiny_model: Path, tmp_path: Path) -> dict[str, Path]:
    folders = {}
    for seed, rank in enumerate((4, 16)):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
        folders[f"a{seed}:1"] = tmp_path / f"a{seed}"
        get_peft_model(load_causal_lm(tiny_model, "float32"), config).save_pretrained(folders[f"a{seed}:1"])
    return folders


async def text_of(engine: TorchEngine, adapter: str | None) -> str:
    request = GenerationRequest(PROMPT, Sampling(max_tokens=12), adapter)
    return "".join([delta.text async for delta in engine.generate(request)])


async def test_mixed_adapters_answer_as_transformers_does_on_the_same_gpu(
    tiny_model: Path, adapters: dict[str, Path]
) -> None:
    from peft import PeftModel

    engine = TorchEngine(tiny_model, dtype="float32")
    for key, folder in adapters.items():
        await engine.load_adapter(key, folder)
    texts = await asyncio.gather(*(text_of(engine, key) for key in (None, *adapters)))
    expected = []
    for folder in (None, *adapters.values()):
        model = load_causal_lm(tiny_model, "float32")
        if folder is not None:
            model = PeftModel.from_pretrained(model, folder)
        ids = engine.tokenizer(PROMPT, return_tensors="pt").to("cuda")
        with torch.no_grad():
            out = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
        expected.append(str(engine.tokenizer.decode(out, skip_special_tokens=True)).rstrip("\ufffd"))
    assert texts == expected
    assert len(set(texts)) == 3
