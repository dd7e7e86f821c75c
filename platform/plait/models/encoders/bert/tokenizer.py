"""Whether a model's tokenizer.json alone says how its texts become tokens.

transformers makes tokenizers of known classes anew from other settings (its tokenization_bert.py and
tokenization_xlm_roberta.py); where these say something else, vectors would be of other tokens.
"""

from typing import Any

_AS_IT_STANDS = ("PreTrainedTokenizer", "TokenizersBackend")


def is_whole(made: dict[str, Any], settings: dict[str, Any]) -> bool:
    """`made`: the content of tokenizer.json; `settings`: that of tokenizer_config.json."""
    if made.get("post_processor") is None or settings.get("truncation_side", "right") != "right":
        return False
    kind = settings.get("tokenizer_class", "").removesuffix("Fast")
    if kind == "BertTokenizer":
        as_said = {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": settings.get("do_lower_case", True),
        }
        return bool(made["pre_tokenizer"] == {"type": "BertPreTokenizer"} and made["normalizer"] == as_said)
    if kind == "XLMRobertaTokenizer":
        parts = made["pre_tokenizer"].get("pretokenizers", [])
        return bool(
            made["normalizer"]["type"] == "Precompiled"
            and [part["type"] for part in parts] == ["WhitespaceSplit", "Metaspace"]
            and parts[1].get("prepend_scheme", "always") == "always"
            and settings.get("add_prefix_space", True)
        )
    return kind in _AS_IT_STANDS
