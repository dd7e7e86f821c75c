"""Chat templates as transformers renders them, with an end: a template that somebody else wrote cannot keep a process.

In: a Jinja template and plain values. Out: text, or one sentence. Transformers' environment (a sandbox in which nothing
can be changed or executed, its filters, its `generation` tag) is taken as it is, by its private function; added are
limits on the steps, the time and the values of a rendering. It knows nothing of messages.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from typing import Any

import jinja2
import re2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from plait.errors import InvalidInput, first_line

MAX_TEMPLATE_CHARACTERS = 256 << 10
"""The longest of known models has 30 thousand. Python compiles this many in a second."""
_MAX_STEPS = 1_000_000
"""Turns of loops, calls and filters of one rendering: some 50 for each message."""
_MAX_CHARACTERS = 256 << 20
"""Of all texts that one rendering makes on its way; an element of a list counts as one."""
_MAX_S = 3.0
"""Of a processor, in the thread that renders: on a busy machine a short template may take as long by the clock."""
_MAX_WIDTH = 10_000
"""Of padding and indentation."""
_WIDE_FORMAT = re2.compile(r"%(?:\([^)]*\))?[^a-zA-Z%]*(?:\*|\d{5})|\{[^{}]*:[^{}]*(?:\{|\d{5})")
"""A width of five digits, or one that stands in an argument; found in linear time."""
_WITHOUT_WIDTH = frozenset(("abs", "d", "default", "float", "int", "string", "tojson"))
"""Filters that may be given any number: it is a value. (For `tojson`, the indentation is checked.)"""


class _TooMuch(Exception):
    """A rendering is over its limits."""


@dataclass
class _Budget:
    """What is left of one rendering."""

    until: float
    steps: int = _MAX_STEPS
    characters: int = _MAX_CHARACTERS

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise _TooMuch(f"it takes more than {_MAX_STEPS:,} steps")
        self.look_at_the_clock()

    def look_at_the_clock(self) -> None:
        if time.thread_time() > self.until:
            raise _TooMuch(f"it computes for longer than {_MAX_S:g} seconds")

    def spend(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise _TooMuch(f"it makes more than {_MAX_CHARACTERS:,} characters")

    def weigh(self, value: Any) -> Any:
        """The same value, its size taken off: of a list, with all that is in it, as it takes when it is written."""
        if isinstance(value, str):
            self.spend(len(value))
        elif isinstance(value, (list, tuple)):
            self.spend(len(value))
            self.look_at_the_clock()
            for item in value:
                self.weigh(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.weigh(key)
                self.weigh(item)
        elif isinstance(value, Namespace):
            raise _TooMuch("it uses a namespace as a value")
        return value


_budget: ContextVar[_Budget] = ContextVar("what is left of a rendering")


def render_template(template: str, /, **values: Any) -> str:
    """The text of a template with these values, which are plain JSON.

    Raises:
        InvalidInput: when it is no template, raises (`raise_exception` included), or does not end.
    """
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise InvalidInput(
            f"The chat template has {len(template):,} characters; it may have {MAX_TEMPLATE_CHARACTERS:,}."
        )
    with _limited() as budget:
        try:
            return "".join(budget.weigh(part) for part in _compiled(template).generate(**values))
        except Exception as error:  # values are plain: whatever is raised is what the template did
            raise InvalidInput(f"The chat template cannot write this conversation ({first_line(error)}).") from error


@contextmanager
def _limited() -> Iterator[_Budget]:
    budget = _Budget(time.thread_time() + _MAX_S)
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


@lru_cache(maxsize=64)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


@cache
def _environment() -> "_LimitedEnvironment":
    from transformers.utils.chat_template_utils import _compile_jinja_template

    theirs = _compile_jinja_template("").environment
    environment = _LimitedEnvironment(
        trim_blocks=theirs.trim_blocks,
        lstrip_blocks=theirs.lstrip_blocks,
        extensions=[type(extension) for extension in theirs.extensions.values()],
        finalize=_weighed,
    )
    environment.globals.update(theirs.globals)
    del environment.globals["lipsum"]  # makes any amount of text in one call
    environment.filters.update({name: _limited_filter(name, made) for name, made in theirs.filters.items()})
    environment.filters.update(_turns=_turns, _weighed=_weighed)
    return environment


class _LimitedEnvironment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise _TooMuch("it raises a number to a power")
        if operator == "*":
            for values, times in ((left, right), (right, left)):
                if isinstance(values, (str, list, tuple)) and isinstance(times, int):
                    _budget.get().spend(len(values) * max(times, 0))
        elif operator == "%" and isinstance(left, str):
            _check_format(left)
        return _weighed(super().call_binop(context, operator, left, right))

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _budget.get().step()
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps `format`
        text = getattr(method, "__self__", None)
        if isinstance(text, str):
            args = _checked(text, method.__name__, args)
        made = super().call(context, obj, *args, **kwargs)
        return made if isinstance(made, Namespace) else _weighed(made)

    def _parse(self, source: str, name: Any, filename: Any) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            written = sum(len(text.data) for text in loop.find_all(nodes.TemplateData))
            loop.iter = self._filtered(loop.iter, "_turns", nodes.Const(written))
        for block in tree.find_all(nodes.AssignBlock):
            block.filter = self._filtered(block.filter, "_weighed")
        self._weigh_values(tree)
        return tree

    def _weigh_values(self, node: nodes.Node) -> None:
        """Weigh what no operator and no call makes: lists, and the parts of `a ~ b`."""
        for child in node.iter_child_nodes():
            self._weigh_values(child)
        for name, value in node.iter_fields():
            if isinstance(value, list):
                value[:] = [self._weighing(node, part) for part in value]
            else:
                setattr(node, name, self._weighing(node, value))

    def _weighing(self, parent: nodes.Node, value: Any) -> Any:
        is_made = isinstance(value, (nodes.List, nodes.Dict)) or (
            isinstance(value, nodes.Tuple) and value.ctx == "load"
        )
        if is_made or (isinstance(parent, nodes.Concat) and isinstance(value, nodes.Expr)):
            return self._filtered(value, "_weighed")
        return value

    def _filtered(self, node: Any, name: str, *arguments: nodes.Expr) -> nodes.Filter:
        made = nodes.Filter(node, name, list(arguments), [], None, None)
        made.set_environment(self)
        made.set_lineno(getattr(node, "lineno", 1), override=False)
        return made


def _weighed(value: Any) -> Any:
    return _budget.get().weigh(value)


def _turns(items: Iterable[Any], written: int) -> Iterator[Any]:
    """The items of a loop whose body writes so many characters of its own."""
    budget = _budget.get()
    for item in items:
        budget.step()
        budget.spend(written)
        yield item


def _limited_filter(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(made)  # and with it, what the filter wants to be passed
    def limited(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        budget.step()
        # Some are passed the environment first.
        given = args[1:] if hasattr(made, "jinja_pass_arg") else args
        for value in (*given, *kwargs.values()):
            if isinstance(value, Namespace):
                raise _TooMuch("it uses a namespace as a value")
            if isinstance(value, int) and abs(value) > _MAX_WIDTH and name not in _WITHOUT_WIDTH:
                raise _TooMuch(f"it gives {value:,} to the filter '{name}'")
        if name == "tojson" and isinstance(kwargs.get("indent"), int) and kwargs["indent"] > _MAX_WIDTH:
            raise _TooMuch(f"it indents by {kwargs['indent']:,}")
        if name == "format":
            _check_format(str(given[0]))
        elif name == "replace" and len(given) > 2:
            _checked(str(given[0]), name, given[1:])
        elif name == "join":
            (values,) = _checked(str((*given, kwargs.get("d", ""))[1]), name, given[:1])
            args = (*args[: len(args) - len(given)], values, *given[1:])
        return budget.weigh(made(*args, **kwargs))

    return limited


def _checked(text: str, method: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments that a method of a text may be called with, what it will make taken off where that is known only
    before."""
    if method in ("center", "expandtabs", "ljust", "rjust", "zfill"):
        if any(isinstance(width, int) and width > _MAX_WIDTH for width in arguments):
            raise _TooMuch(f"it gives a width above {_MAX_WIDTH:,} to '{method}'")
    elif method in ("format", "format_map"):
        _check_format(text)
    elif method == "translate":
        raise _TooMuch("it calls 'translate'")
    elif method == "replace" and len(arguments) > 1:
        old, new = map(str, arguments[:2])
        _budget.get().spend(text.count(old) * len(new))
    elif method == "join" and arguments:
        values = list(arguments[0])
        _budget.get().spend(len(values) * len(text))
        return (values,)
    return arguments


def _check_format(text: str) -> None:
    if _WIDE_FORMAT.search(text):
        raise _TooMuch("it formats with a width that is large, or an argument")
