"""The part of adapter_config.json that names modules, for all methods that adapt chosen ones."""

from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from plait.adapters.methods.saved_config import SavedConfig
from plait.adapters.module_patterns import ModuleMatch, match_modules


def _modules(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return value
    raise ValueError("it is neither a list of names nor a pattern")


Modules = Annotated[Any, BeforeValidator(_modules)]
"""A list of names, or a regular expression for whole names."""


class TargetModulesConfig(SavedConfig):
    """A method that adapts chosen modules."""

    target_modules: Modules
    exclude_modules: Modules | None = None
    modules_to_save: list[str] | None = None

    @model_validator(mode="after")
    def _compile(self) -> Self:
        """Patterns that are none are said here, and not when the first module is matched."""
        self._is_target, self._is_excluded  # noqa: B018
        return self

    def targets(self, module: str) -> bool:
        """Whether it adapts a linear layer of the decoder, `model.layers.0.self_attn.q_proj`."""
        return self._is_target(module) and not self._is_excluded(module)

    @cached_property
    def _is_target(self) -> ModuleMatch:
        is_all = isinstance(self.target_modules, str) and self.target_modules.lower() == "all-linear"
        return (lambda module: True) if is_all else match_modules(self.target_modules)

    @cached_property
    def _is_excluded(self) -> ModuleMatch:
        return match_modules(self.exclude_modules or [])
