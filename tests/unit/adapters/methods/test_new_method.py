"""A method is one file and one registration: recipes, training, planning and serving then know it."""

import os
import subprocess
import sys
from pathlib import Path

_RECIPES_IMPORT_NOTHING_HEAVY = """
import sys
import plait.recipes
print(*sorted({"mlflow", "peft", "pymilvus", "ray", "torch", "transformers"} & set(sys.modules)))
"""

_USE = """
import sys
from pathlib import Path

import torch

from plait.adapters.methods.saved_config import load_adapter
from plait.engines.torch.adapter_bank import AdapterBank
from plait.engines.torch.adapter_weights import read_adapter
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.step import Span, pack
from plait.engines.vllm.adapters import check_lora
from plait.errors import InvalidInput
from plait.jobs.plan.estimate import estimate
from plait.jobs.train.batches import collate
from plait.jobs.train.encode import Example
from plait.jobs.train.packing import pack as pack_rows
from plait.jobs.train.trainable import Trainable
from plait.models.load import load_causal_lm
from plait.recipes import TrainRecipe, load_recipe
from plait.serve.adapters.limits import AdapterLimits

import gain_method

base, folder = Path(sys.argv[1]), Path(sys.argv[2])
overrides = [f"model={base}", "adapter.method=gain", "adapter.start=1.5", "model.dtype=float32"]
recipe = load_recipe(TrainRecipe, None, ["name=x", "data.train=/nowhere", "data.max_tokens=64", *overrides])

model = Trainable.new(base, recipe)
needs = estimate(recipe, gpu_name="A100 80GB")
assert needs.method == "gain"
assert needs.trained_parameters == sum(p.numel() for p in model.trained_parameters()) > 0
assert needs.memory.of("adapter") == 4 * needs.trained_parameters

ids = list(range(5, 45))
batch = collate(pack_rows([[Example(ids, ids)]], 64), pad_id=0)
optimizer = torch.optim.AdamW(model.trained_parameters(), lr=0.05)
losses = []
for _ in range(4):
    loss = model(batch)
    losses.append(float(loss.detach()))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
assert losses[-1] < losses[0], losses
model.save(folder)

tokens = torch.tensor([ids])
with torch.no_grad():
    without = load_causal_lm(base, "float32")(tokens).logits[0, -1]
    adapted = load_causal_lm(base, "float32")
    load_adapter(adapted, folder)
    expected = adapted(tokens).logits[0, -1]
AdapterLimits(max_rank=8, max_bytes=1 << 20).check(folder, str(base))
decoder = Decoder(load_causal_lm(base, "float32"), max_positions=64)
bank = AdapterBank(decoder)
weights = read_adapter(folder, decoder)
bank.prepare(weights)
bank.add("gain", weights)
step = pack([Span(ids, 0, list(range(10)), is_wanted=True)], 4, decoder.dtype, decoder.device)
hidden = decoder.forward(step, decoder.key_values(10, 4), bank.adaptation([("gain", len(ids))]))
torch.testing.assert_close(decoder.logits(hidden[step.wanted])[0], expected, atol=2e-5, rtol=1e-3)
assert (expected - without).abs().max() > 0.01
try:
    check_lora("gain", folder, torch.float32, max_rank=8)
except InvalidInput as error:
    assert "is no LoRA (GAIN), all that vLLM serves" in str(error), error
else:
    raise AssertionError("vLLM takes it")
"""


def run(script: str, *arguments: Path) -> str:
    paths = os.pathsep.join([str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# A process of its own, for recipes are made of the methods that are there when they are imported: about ten seconds.
def test_a_method_of_one_file_is_trained_planned_and_served(tiny_model: Path, tmp_path: Path) -> None:
    run(_USE, tiny_model, tmp_path / "adapter")


def test_recipes_import_nothing_that_computes() -> None:
    assert run(_RECIPES_IMPORT_NOTHING_HEAVY).split() == []
