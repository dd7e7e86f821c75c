"""How many chunks a second does an embedding worker make on a GPU?

Random weights in the shapes of real models; chunks of 150 to 200 tokens. The peer is sentence-transformers as it comes,
in float32, on the same GPU.
"""

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from harness.results import options, publish, spread
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from plait.models.embedding import EmbeddingModel

SHAPES = {
    "all-MiniLM-L6 (22 M parameters)": BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    ),
    "bge-base (109 M parameters)": BertConfig(),
}
BATCH_SIZES = (32, 256)


def main() -> None:
    given = options(__doc__ or "", runs=3)
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark is about GPUs, and there is none here.")
    texts = _texts(2048 if given.quick else 4096)
    lines = ["| model | batch | chunks/s | of sentence-transformers in float32 |", "|---|---|---|---|"]
    ratios: dict[str, float] = {}
    for name, config in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            _make_model(config, Path(folder))
            plain, ours = SentenceTransformer(folder), EmbeddingModel(folder)
            assert plain.device.type == "cuda"
            for size in BATCH_SIZES:
                theirs = [_rate(partial(plain.encode, batch_size=size), texts) for _ in range(given.runs)]
                rates = [_rate(partial(ours.encode_passages, batch_size=size), texts) for _ in range(given.runs)]
                ratio = ratios[f"{name.split()[0]}_{size}"] = round(median(rates) / median(theirs), 3)
                lines.append(f"| {name} | {size} | {spread(rates)} | **{ratio:.2f}** ({spread(theirs)}) |")
                print(lines[-1], flush=True)
    body = f"Random weights, {len(texts):,} chunks of 150 to 200 tokens, one process.\n\n" + "\n".join(lines)
    publish("embedding_on_gpu", f"Embedding on a GPU ({torch.cuda.get_device_name()})", body, ratios, given)


def _rate(encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    encode(texts[:512])
    started = time.perf_counter()
    encode(texts)
    return len(texts) / (time.perf_counter() - started)


def _texts(count: int) -> list[str]:
    chance = random.Random(0)
    return [" ".join(f"w{chance.randrange(1000)}" for _ in range(chance.randint(148, 198))) for _ in range(count)]


def _make_model(config: BertConfig, folder: Path) -> None:
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(1000))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    bert = folder / "bert"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
        model_max_length=512,
    ).save_pretrained(bert)  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(bert)
    transformer = Transformer(str(bert))
    SentenceTransformer(modules=[transformer, Pooling(config.hidden_size)]).save(str(folder))


if __name__ == "__main__":
    main()
