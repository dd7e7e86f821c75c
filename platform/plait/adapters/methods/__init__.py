"""Adapter methods, one file or folder each. Whoever adds one adds its line here; nothing else knows which there are."""

from plait.adapters.methods.bottleneck.config import BottleneckConfig, SavedBottleneck
from plait.adapters.methods.full import FullConfig
from plait.adapters.methods.ia3 import Ia3Config, PeftIa3
from plait.adapters.methods.lora import LoraConfig, PeftLora
from plait.adapters.methods.method import register_method
from plait.adapters.methods.prefix import PeftPrefix, PrefixConfig

register_method(FullConfig, None)
register_method(LoraConfig, PeftLora)
register_method(Ia3Config, PeftIa3)
register_method(PrefixConfig, PeftPrefix)
register_method(BottleneckConfig, SavedBottleneck)
