"""Chat templates within limits: what transformers renders, the same; what has no end, an error; nothing executed."""

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from plait.errors import InvalidInput
from plait.models import chat_template
from plait.models.chat import ChatFormat
from plait.models.chat_template import render_template
from plait.models.message import Message, ToolCall

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Which **version** is it, 100%?"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"id": 123456}}}]},
    {"role": "tool", "content": '{"version": 3}'},
    {"role": "assistant", "content": "The third.\n"},
    {"role": "user", "content": "  And before? "},
]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
LIKE_QWEN = """\
{%- if tools %}{{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n" }}{%- for tool in tools %}{{- "\\n" }}{{- tool | tojson(indent=2) }}{%- endfor %}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1, text='') %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and not(message.content.startswith('<tool>')) %}
        {%- set ns.last = index %}{% break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- for call in message.tool_calls %}
            {{- '<tool_call>' ~ call.function.name ~ (call.function.arguments | tojson) ~ '</tool_call>' }}
        {%- endfor %}
    {%- elif message.role == "assistant" %}
        {%- generation %}{{- '<|im_start|>' + message.role + '\\n' + message.content.strip('\\n').split('x')[-1] }}
        {%- endgeneration %}
    {%- else %}
        {%- set ns.text = ns.text ~ message.content|trim %}
        {{- "%s: %s" % (message.role, message.content|trim) }}{{ '<|im_end|>' * 2 }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' ~ ns.last ~ ns.text }}{%- endif %}"""
LIKE_LLAMA = """\
{% set loop_messages = messages %}{% set extra = [1, 'b', none] + [{'a': 2}] %}
{%- macro line(name, value, more={}) %}{{ name|upper }}={{ value }}{{ more.get('x', '') }}{% endmacro %}
{% for message in loop_messages %}
  {% set content = '<|start|>' + message['role'] + '<|end|>\\n\\n'+ message['content'] | trim %}
  {% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}
  {% set block %}[{{ content }}]{% endset %}
{{ block }}{{ line(message.role, 123456789, more={'x': loop.last}) }}
{% endfor %}
{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') }}
{{ 'a-b'.replace('-', '+') | replace('a', 'c') }} {{ "{:>6}|{}".format(3, 'x') }} {{ "%5.1f" | format(2.25) }}
{{ {'b': 1, 'a': [1, 2]} | dictsort }} {{ extra }} {{ range(3) | list }} {{ ','.join(['a', 'b']) }} {{ dict(a=1) }}
{% if add_generation_prompt %}{{ 'x' | indent(2, true) }}{{ eos_token }}{% endif %}"""


@pytest.mark.parametrize("template", [LIKE_QWEN, LIKE_LLAMA])
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_a_rendering_is_that_of_transformers(template: str, tools: object) -> None:
    given = {"tools": tools, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
    expected, _ = render_jinja_template([TALK], chat_template=template, **given)
    assert render_template(template, messages=TALK, documents=None, **given) == expected[0]


LARGE = "{% set ns = namespace(v='aaaaaaaa') %}"
ENDLESS = {
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "range of numbers": "{% for i in range(1000000000) %}x{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "sums": "{% for i in range(99999) %}{% if range(99999)|sum %}{% endif %}{% endfor %}",
    "recursion": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(400) }}",
    "deep recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "product": "{{ 'a' * 9999999999 }}",
    "product of lists": "{{ ([0] * 99999999999)|length }}",
    "power": "{{ 9 ** 9999999999 }}",
    "doubling": LARGE + "{% for i in range(60) %}{% set ns.v = ns.v ~ ns.v %}{% endfor %}",
    "doubling by plus": LARGE + "{% for i in range(60) %}{% set ns.v = ns.v + ns.v %}{% endfor %}",
    "doubling in a block": LARGE + "{% for i in range(60) %}{% set ns.v %}{{ ns.v }}{{ ns.v }}{% endset %}{% endfor %}",
    "doubling in a format": LARGE + "{% for i in range(60) %}{% set ns.v = '%s%s' % (ns.v, ns.v) %}{% endfor %}",
    "doubling of lists": LARGE + "{% for i in range(60) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}{{ ns.v }}",
    "doubling of namespaces": "{% set a = namespace(v=1) %}" + "{% set a = namespace(v=a, w=a) %}" * 40 + "{{ a }}",
    "replacement": LARGE + "{% for i in range(60) %}{% set ns.v = ns.v|replace('a', ns.v) %}{% endfor %}",
    "replacement by method": LARGE + "{% for i in range(60) %}{% set ns.v = ns.v.replace('a', ns.v) %}{% endfor %}",
    "joined": "{% set big = 'a' * 9999999 %}{{ range(99999)|map('string')|join(big) }}",
    "joined by method": "{% set big = 'a' * 9999999 %}{{ big.join(range(99999)|map('string')) }}",
    "width": "{{ 'a'|center(9999999999) }}",
    "width by method": "{{ 'a'.ljust(9999999999) }}",
    "width in a format": "{{ '%9999999999d' % 1 }}",
    "width in an argument": "{{ '%*d'|format(9999999999, 1) }}",
    "width in a format by method": "{{ '{:>9999999999}'.format(1) }}",
    "width in a nested field": "{{ '{:>{w}}'.format(1, w=9999999999) }}",
    "indentation": "{{ [1]|tojson(indent=9999999999) }}",
    "precision": "{{ 2.5|round(9999999999, 'floor') }}",
    "lorem ipsum": "{{ lipsum(99999999) }}",
    "its own text": "{% for i in range(99999) %}{% for j in range(99999) %}"
    + "x" * 100_000
    + "{% endfor %}{% endfor %}",
    "size": "x" * 300_000,
}


@pytest.mark.parametrize("name", [*ENDLESS])
def test_a_template_without_end_ends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "_MAX_S", 0.5)
    started = time.perf_counter()
    with pytest.raises(InvalidInput, match="chat template"):
        render_template(ENDLESS[name], messages=TALK)
    assert time.perf_counter() - started < 5


def test_a_rendering_that_waits_for_a_processor_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = chat_template._compiled

    def compiled_late(template: str) -> Any:
        time.sleep(0.5)
        return compiled(template)

    monkeypatch.setattr(chat_template, "_MAX_S", 0.4)
    monkeypatch.setattr(chat_template, "_compiled", compiled_late)
    assert render_template("{{ messages|length }}", messages=TALK) == str(len(TALK))


HOSTILE = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('touch {file}') }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ (''|attr('__class__')).mro() }}",
    "{{ '{0.__class__.__mro__}'.format('') }}{{ 1/0 }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='system') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ self.__init__.__globals__ }}",
    "{{ raise_exception.__globals__['datetime'] }}",
    "{{ joiner.__init__.__globals__.os.popen('touch {file}').read() }}",
]


@pytest.mark.parametrize("template", HOSTILE)
def test_a_template_executes_and_changes_nothing(template: str, tmp_path: Path) -> None:
    file = tmp_path / "executed"
    with pytest.raises(InvalidInput, match="cannot write this conversation"):
        render_template(template.replace("{file}", str(file)), messages=[dict(m) for m in TALK])
    assert not file.exists()


# ------------------------------------------------------------ checked when it is loaded


def chat_format(template: str) -> ChatFormat:
    return ChatFormat(name="other", template=template)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for message in messages %}", "Unexpected end of template"),
        ("{{ messages[0].nothing.more }}", "has no attribute 'nothing'"),
        ("{{ raise_exception('Not for you') }}", "Not for you"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ unknown() }}", "'unknown' is undefined"),
        ("{{ 1 | nofilter }}", "No filter named 'nofilter'"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ""),
        ("{# says nothing #}", "writes nothing"),
    ],
)
def test_a_template_that_writes_nothing_is_refused_with_the_reason(template: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="chat template") as refused:
        chat_format(template).check()
    assert reason in refused.value.what


def test_a_template_that_refuses_some_conversations_is_one() -> None:
    like_gemma = chat_format(
        "{% for m in messages %}{{ raise_exception('System role not supported') if m.role == 'system' }}"
        "{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    like_gemma.check()
    with pytest.raises(InvalidInput, match="System role not supported"):
        like_gemma.render([Message("system", "Be brief."), Message("user", "hi")])
    with pytest.raises(InvalidInput) as refused:
        like_gemma.render([Message("system", "Be brief.")])
    carried = pickle.loads(pickle.dumps(refused.value))  # as from a replica
    assert (carried.http_status, str(carried)) == (400, str(refused.value))
    needs_system = chat_format(
        "{{ raise_exception('no system') if messages[0].role != 'system' }}{{ messages[0].content }}"
    )
    needs_system.check()


def test_answers_to_parallel_calls_are_one_turn_where_a_template_has_no_tools() -> None:
    call = ToolCall("1", "look", "{}")
    strict = chat_format(
        "{% for m in messages %}"
        "{{ raise_exception('roles must alternate') if (m.role == 'user') != (loop.index0 % 2 == 0) }}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}"
    )
    talk = [
        Message("user", "Cold?"),
        Message("assistant", "", (call, call)),
        Message("tool", "20"),
        Message("tool", "3"),
    ]
    answers = "<tool_response>\n20\n</tool_response>\n<tool_response>\n3\n</tool_response>"
    assert strict.render(talk).endswith(f"[user]{answers}")
    assert strict.render([*talk, Message("user", "And?")]).endswith(f"[user]{answers}\nAnd?")
    asked = [*talk, Message("assistant", "Yes."), Message("user", "And?")]
    assert strict.render(asked).endswith("[assistant]Yes.[user]And?")
