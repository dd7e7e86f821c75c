"""Embedding models with the shapes of real ones and random weights, and texts of the length of chunks for them."""

import random
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SHAPES = {
    "all-MiniLM-L6 (22 M parameters)": BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    ),
    "bge-base (109 M parameters)": BertConfig(),
}


def random_texts(count: int) -> list[str]:
    """Texts of 150 to 200 tokens."""
    chance = random.Random(0)
    return [" ".join(f"w{chance.randrange(1000)}" for _ in range(chance.randint(148, 198))) for _ in range(count)]


def make_encoder(config: BertConfig, folder: Path) -> None:
    """Write a sentence-transformers model to `folder`."""
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
    SentenceTransformer(modules=[Transformer(str(bert)), Pooling(config.hidden_size)]).save(str(folder))
