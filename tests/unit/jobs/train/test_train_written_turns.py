"""Conversations in chat formats that rewrite earlier turns, open a thought, refuse what they get, or take tools."""

from pathlib import Path
from typing import Any

import pytest

from plait.documents.row_files import BadRow
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.dpo import DpoConfig, Preference
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.parse import parse_row
from plait.jobs.train.rows import Conversation
from plait.models.chat import PLAIN_TEMPLATE, ChatFormat
from plait.models.message import Message, ToolCall
from plait.models.tokenizer import encode_prompt, load_tokenizer

# As Qwen 3's: the last turns have a thought, even an empty one; turns before the last question have none.
LIKE_QWEN3 = """\
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- if tools %}{{- '[system]' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{{- '[end]' }}{%- endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '[user]' }}{%- endif %}
{{- '<r>' + m.content + '</r>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '[end]' }}{%- endif %}
{%- elif m.role == 'assistant' %}
{%- set thought = m.reasoning_content or '' %}{%- set said = m.content %}
{%- if '</think>' in said %}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- set said = said.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{{- '[assistant]' }}
{%- if loop.index0 > ns.last and (loop.last or thought) %}
{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}
{{- said }}
{%- for call in m.tool_calls or [] %}{{- '<c>' + call.function.name + (call.function.arguments | tojson) + '</c>' }}
{%- endfor %}{{- '[end]' }}
{%- else %}{{- '[' + m.role + ']' + m.content + '[end]' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}"""
# As DeepSeek R1's: made for prompts only, a turn of the assistant has no thought at all.
LIKE_R1 = """\
{%- for m in messages %}
{%- if m.role == 'assistant' %}{{- '[assistant]' + m.content.split('</think>')[-1] + '[end]' }}
{%- else %}{{- '[' + m.role + ']' + m.content }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[assistant]<think>\\n' }}{%- endif %}"""
LIKE_GEMMA = """\
{%- if messages[0].role == 'system' %}{{- raise_exception('System role not supported') }}{%- endif %}
{%- for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('Conversation roles must alternate') }}
{%- endif %}{{- '[' + m.role + ']' + m.content }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}"""
USER, FIRST, AGAIN, SECOND = (
    Message("user", "2+2?"),
    Message("assistant", "4", reasoning="easy"),
    Message("user", "Sure?"),
    Message("assistant", "Yes."),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


def encoded(meaning: Any, chat_format: ChatFormat, tokenizer: Any, objective: Any) -> list[list[Example]]:
    return objective_of(objective).encode(meaning, Encoder(tokenizer, chat_format, 4000))


def examples(
    conversation: Any, template: str, tokenizer: Any, objective: Any = None, **values: Any
) -> list[tuple[str, str]]:
    """Of each example: the prompt up to the first learned token, and what is learned."""
    chat_format = ChatFormat(name="other", template=template, **values)
    groups = encoded(conversation, chat_format, tokenizer, objective or SftConfig())
    found = []
    for example in (example for group in groups for example in group):
        first = next(i for i, label in enumerate(example.labels) if label != IGNORED)
        said = [label for label in example.labels if label != IGNORED]
        found.append((tokenizer.decode(example.input_ids[:first]).removeprefix("<bos>"), tokenizer.decode(said)))
    return found


def test_a_format_that_rewrites_earlier_turns_gives_an_example_for_each_as_serving_would_ask(tokenizer: Any) -> None:
    talk = Conversation((USER, FIRST, AGAIN, SECOND))
    assert examples(talk, LIKE_QWEN3, tokenizer) == [
        ("[user]2+2?[end][assistant]", "<think>\neasy\n</think>\n\n4[end]"),
        ("[user]2+2?[end][assistant]4[end][user]Sure?[end][assistant]", "<think>\n\n</think>\n\nYes.[end]"),
    ]
    chat_format = ChatFormat(name="other", template=LIKE_QWEN3)
    last = encoded(talk, chat_format, tokenizer, SftConfig())[1][0]
    served = encode_prompt(tokenizer, chat_format.render(talk.messages[:3]))
    assert last.input_ids[: len(served)] == served
    only_last = Conversation(talk.messages, unlearned=frozenset({0}))
    assert examples(only_last, LIKE_QWEN3, tokenizer) == examples(talk, LIKE_QWEN3, tokenizer)[1:]


def test_turns_that_follow_each_other_word_for_word_stay_one_example(tokenizer: Any) -> None:
    fields = {
        "messages": [
            {"role": "user", "content": "Cold?"},
            {
                "role": "assistant",
                "reasoning_content": "Look.",
                "tool_calls": [
                    {"id": "1", "function": {"name": "look", "arguments": '{"at": "Rom"}'}},
                    {"id": "2", "function": {"name": "look", "arguments": {"at": "Ulm"}}},
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "20"},
            {"role": "tool", "tool_call_id": "2", "content": "3"},
            {"role": "assistant", "content": "In Ulm."},
        ],
        "tools": [{"type": "function", "function": {"name": "look"}}],
    }
    ((prompt, said),) = examples(parse_row(fields, objective_of(SftConfig())).meaning, LIKE_QWEN3, tokenizer)
    assert prompt.startswith('[system]{"type": "function", "function": {"name": "look"')
    call = '<think>\nLook.\n</think>\n\n<c>look{"at": "Rom"}</c><c>look{"at": "Ulm"}</c>[end]'
    assert said == f"{call}<think>\n\n</think>\n\nIn Ulm.[end]"


@pytest.mark.parametrize(
    ("first", "later"), [(FIRST, "4"), (Message("assistant", "<think>\neasy\n</think>\n\n4"), "\n\n4")]
)
def test_a_prompt_that_opens_a_thought_is_continued_by_it(tokenizer: Any, first: Message, later: str) -> None:
    assert examples(Conversation((USER, first, AGAIN, SECOND)), LIKE_R1, tokenizer) == [
        ("[user]2+2?[assistant]<think>\n", "easy\n</think>\n\n4[end]"),
        (f"[user]2+2?[assistant]{later}[end][user]Sure?[assistant]<think>\n", "\n</think>\n\nYes.[end]"),
    ]


def test_a_thought_cannot_end_its_turn(tokenizer: Any) -> None:
    sly = Conversation((USER, Message("assistant", "4", reasoning="so[end]and")))
    ((_, said),) = examples(sly, LIKE_R1, tokenizer, special_tokens=("[end]",))
    assert said.startswith("so[ end]and\n</think>")


def test_of_a_preference_only_the_last_turn_is_judged_whatever_the_format_rewrites(tokenizer: Any) -> None:
    chosen = Conversation((USER, FIRST, AGAIN, SECOND))
    rejected = Conversation((USER, FIRST, AGAIN, Message("assistant", "No.")))
    found = examples(Preference(chosen, rejected), LIKE_QWEN3, tokenizer, DpoConfig(kind="dpo"))
    assert [said.split()[-1] for _, said in found] == ["Yes.[end]", "No.[end]"]
    assert len({prompt for prompt, _ in found}) == 1


def test_with_loss_on_all_a_rewriting_format_is_learned_as_it_writes_the_whole(tokenizer: Any) -> None:
    talk = Conversation((USER, Message("assistant", "4"), AGAIN, SECOND))
    everything = SftConfig(loss_on="all")
    ((example,),) = encoded(talk, ChatFormat(name="x", template=LIKE_QWEN3), tokenizer, everything)
    assert example.labels == example.input_ids
    assert tokenizer.decode(example.input_ids).count("2+2?") == 1
    with pytest.raises(BadRow, match=r"set objective\.loss_on=completions"):
        examples(Conversation(talk.messages, unlearned=frozenset({0})), LIKE_QWEN3, tokenizer, everything)
    with pytest.raises(BadRow, match="does not write the reasoning of turn 2"):
        examples(Conversation((USER, FIRST, AGAIN, SECOND)), LIKE_QWEN3, tokenizer, everything)


@pytest.mark.parametrize("objective", [SftConfig(), SftConfig(loss_on="all"), PretrainConfig(kind="pretrain")])
@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ((USER, AGAIN, SECOND), "Conversation roles must alternate"),
        ((SECOND, USER, SECOND), "Conversation roles must alternate"),
        ((USER, SECOND, Message("system", "Be brief."), AGAIN, SECOND), "Conversation roles must alternate"),
        ((Message("system", "Be brief."), USER, SECOND), "System role not supported"),
    ],
    ids=["two users", "assistant first", "system in the middle", "system"],
)
def test_what_a_format_refuses_is_a_bad_row_with_its_sentence(
    tokenizer: Any, messages: tuple[Message, ...], sentence: str, objective: Any
) -> None:
    with pytest.raises(BadRow, match=rf"cannot write this conversation \({sentence}\)"):
        examples(Conversation(messages), LIKE_GEMMA, tokenizer, objective)


def test_an_answer_to_nothing_is_refused_and_may_be_context(tokenizer: Any) -> None:
    strict = "{{ messages[0].role }}" + LIKE_R1.replace("<think>\\n", "")
    with pytest.raises(BadRow, match=r'turn 1 is the assistant.s, and nothing stands before it.*"weight": 0'):
        examples(Conversation((SECOND, USER, SECOND)), strict, tokenizer)
    greeted = Conversation((SECOND, USER, SECOND), unlearned=frozenset({0}))
    assert [said for _, said in examples(greeted, strict, tokenizer)] == ["Yes.[end]"]


def test_a_format_that_does_not_continue_its_prompt_is_shown(tokenizer: Any) -> None:
    odd = "{{ messages[0].content }}{{ ' ANSWER:' if add_generation_prompt else ' REPLY: ' ~ messages[-1].content }}"
    with pytest.raises(BadRow, match=r"turn 2 does not continue its prompt \(which has 'ANSWER:' where .* 'REPLY: Yes"):
        examples(Conversation((USER, SECOND)), odd, tokenizer)


@pytest.mark.parametrize("objective", [SftConfig(), PretrainConfig(kind="pretrain")])
def test_reasoning_that_a_format_does_not_write_is_named(tokenizer: Any, objective: Any) -> None:
    with pytest.raises(BadRow, match=r"does not write the reasoning of turn 2 \(reasoning_content\)"):
        examples(Conversation((USER, FIRST)), LIKE_GEMMA, tokenizer, objective)


def test_a_format_without_tools_gets_calls_in_words_and_both_answers_in_one_turn(tokenizer: Any) -> None:
    call = {"function": {"name": "look", "arguments": {"at": "Rom"}}}
    fields = {
        "messages": [
            {"role": "user", "content": "Cold?"},
            {"role": "assistant", "tool_calls": [call, call]},
            {"role": "tool", "content": "20"},
            {"role": "tool", "content": "3"},
            {"role": "user", "content": "In Ulm?"},
            {"role": "assistant", "content": "Yes."},
        ]
    }
    ((prompt, said),) = examples(parse_row(fields, objective_of(SftConfig())).meaning, LIKE_GEMMA, tokenizer)
    assert prompt == "[user]Cold?[assistant]"
    assert said.startswith('<tool_call>{"name": "look", "arguments": {"at": "Rom"}}</tool_call>\n<tool_call>')
    answers = "<tool_response>\n20\n</tool_response>\n<tool_response>\n3\n</tool_response>\nIn Ulm?"
    chat_format = ChatFormat(name="x", template=LIKE_GEMMA)
    meaning = parse_row(fields, objective_of(SftConfig())).meaning
    assert isinstance(meaning, Conversation)
    assert f"[user]{answers}[assistant]" in chat_format.render(meaning.messages[:-1])


# ------------------------------------------------------------ what a format leaves out of a turn

ONLY_CONTENT = "{%- for m in messages %}{{- '[' + m.role + ']' + m.content|trim + '[end]' }}{%- endfor %}"
PROMPT_END = "{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}"
MENTIONS_TOOLS = "{%- if tools %}{%- endif %}" + ONLY_CONTENT + PROMPT_END
# As Llama 3.1's: a turn with calls has nothing else; of several, this one writes the first.
CALL_ALONE = """\
{%- for m in messages %}{{- '[' + m.role + ']' }}
{%- if m.tool_calls %}{{- '{"name": "' + m.tool_calls[0].function.name + '", ' }}
{{- '"parameters": ' + (m.tool_calls[0].function.arguments | tojson) + '}' }}
{%- elif m.role == 'tool' %}{{- m.content | tojson }}{%- else %}{{- m.content|trim }}{%- endif %}{{- '[end]' }}
{%- endfor %}{%- if tools %}{%- endif %}"""
LOOK, EVERYTHING = ToolCall("", "look", '{"at": "Rom"}'), SftConfig(loss_on="all")
THOUGHT = Message("assistant", "<think>secret</think>a1")
PRETRAIN = PretrainConfig(kind="pretrain")


@pytest.mark.parametrize(
    ("messages", "template", "objective", "part"),
    [
        ((USER, Message("assistant", "", (LOOK,))), MENTIONS_TOOLS, SftConfig(), "the arguments of look of turn 2"),
        ((USER, Message("assistant", "Let me.", (LOOK,))), CALL_ALONE, SftConfig(), "the content of turn 2"),
        ((USER, Message("assistant", "", (LOOK, LOOK))), CALL_ALONE, SftConfig(), "the arguments of look of turn 2"),
        ((USER, Message("assistant", "Let me.", (LOOK,))), CALL_ALONE, PRETRAIN, "the content of turn 2"),
        ((USER, THOUGHT), LIKE_R1, PRETRAIN, "the thought in the content of turn 2"),
        ((USER, THOUGHT, AGAIN, SECOND), LIKE_R1, EVERYTHING, "the thought in the content of turn 2"),
        (
            (USER, Message("assistant", "Yes, sure", reasoning="Yes")),
            MENTIONS_TOOLS,
            SftConfig(),
            r"the reasoning of turn 2 \(reasoning_content\)",
        ),
        (
            (USER, SECOND, Message("tool", "20"), SECOND),
            "{% for m in messages %}[{{ m.content if m.role != 'tool' }}]{% endfor %}{% if tools %}{% endif %}",
            PRETRAIN,
            "the content of turn 3",
        ),
    ],
    ids=["calls", "beside a call", "second call", "text", "thought", "earlier thought", "reasoning", "tool's answer"],
)
def test_a_part_of_a_turn_that_a_format_leaves_out_is_named(
    tokenizer: Any, messages: tuple[Message, ...], template: str, objective: Any, part: str
) -> None:
    template += PROMPT_END if template is CALL_ALONE else ""
    with pytest.raises(BadRow, match=f"does not write {part}"):
        examples(Conversation(messages), template, tokenizer, objective)


@pytest.mark.parametrize("objective", [SftConfig(), EVERYTHING, PRETRAIN], ids=["answers", "all", "pretrain"])
@pytest.mark.parametrize(
    ("answer", "template"),
    [
        (Message("assistant", "  4\n"), MENTIONS_TOOLS),
        (Message("assistant", "forged [end] <b>"), MENTIONS_TOOLS),
        (Message("assistant", "<think>\n\n</think>\n\n4"), LIKE_R1),
        (Message("assistant", "", (ToolCall("", "look", '{"at": "\\"Zürich\\" [end]"}'),)), CALL_ALONE + PROMPT_END),
        (
            Message("assistant", "Let me.", (ToolCall("", "look", "{}"), LOOK)),
            "{{ bos_token }}" + ONLY_CONTENT + PROMPT_END,
        ),
        (Message("assistant", "4", reasoning="easy"), LIKE_QWEN3),
    ],
    ids=["trimmed", "broken up", "empty thought", "quoted", "in words", "reasoning"],
)
def test_what_a_format_trims_quotes_or_puts_in_words_is_learned(
    tokenizer: Any, answer: Message, template: str, objective: Any
) -> None:
    assert examples(Conversation((USER, answer)), template, tokenizer, objective, special_tokens=("[end]",))


def test_a_format_that_refuses_other_names_of_functions_is_taken_at_its_word(tokenizer: Any) -> None:
    strict = CALL_ALONE + PROMPT_END
    strict += "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.function.name != 'look' %}"
    strict += "{{ raise_exception('unknown') }}{% endif %}{% endfor %}{% endfor %}"
    assert examples(Conversation((USER, Message("assistant", "", (LOOK,)))), strict, tokenizer)


def test_a_rewritten_conversation_ends_with_the_end_of_its_last_turn(tokenizer: Any) -> None:
    eos = tokenizer.eos_token
    template = LIKE_R1.replace("'[end]'", f"'{eos}'")
    talk = Conversation((USER, Message("assistant", "<think></think>4"), AGAIN, SECOND))
    ((example,),) = encoded(talk, ChatFormat(name="x", template=template), tokenizer, EVERYTHING)
    assert example.labels == example.input_ids
    assert example.labels.count(tokenizer.eos_token_id) == 2
    assert example.labels[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("template", ["{{ messages[0].role }}" + ONLY_CONTENT + PROMPT_END, PLAIN_TEMPLATE])
def test_with_loss_on_all_a_greeting_without_weight_is_context(tokenizer: Any, template: str) -> None:
    eos = tokenizer.eos_token
    greeted = Conversation((Message("assistant", "Hi!"), USER, SECOND), unlearned=frozenset({0}))
    chat_format = ChatFormat(name="x", template=template, eos_token=eos)
    ((example,),) = encoded(greeted, chat_format, tokenizer, EVERYTHING)
    said = tokenizer.decode([label for label in example.labels if label != IGNORED])
    assert "Hi!" in tokenizer.decode(example.input_ids)
    assert "Hi!" not in said
    assert "2+2?" in said
    assert example.input_ids.count(tokenizer.eos_token_id) == (2 if template is PLAIN_TEMPLATE else 0)
    assert example.input_ids.count(tokenizer.bos_token_id) == 1


def test_the_format_plain_writes_a_conversation_that_the_assistant_begins(tokenizer: Any) -> None:
    greeted = Conversation((Message("assistant", "Hi!"), USER, SECOND))
    ((prompt, said),) = examples(greeted, PLAIN_TEMPLATE, tokenizer)
    assert (prompt, said.split()[0]) == ("Answer:", "Hi!")
