"""Chat templates: what transformers renders, and what an evil one cannot do."""

import sys
from pathlib import Path

import pytest

from pipeline.runtime import CallError, PackageError
from pipeline.runtime.template import ChatTemplate

HERE = Path("chat_template.jinja")
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "<b>Hi</b>"},
]


def render(source: str, messages: list[dict[str, str]] | None = None) -> str:
    template = ChatTemplate(source, HERE)
    return template.render(MESSAGES if messages is None else messages, {"eos_token": "</s>"})


def test_smollm2() -> None:
    source = (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nBe kind<|im_end|>\\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    assert render(source) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<b>Hi</b><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert render(source, MESSAGES[1:]).startswith("<|im_start|>system\nBe kind<|im_end|>\n")


def test_idioms_of_real_templates() -> None:
    source = """\
{%- set ns = namespace(seen=0, text='') -%}
{%- macro shout(words) %}{{ words | upper | trim }}{% endmacro -%}
{%- for message in messages -%}
    {%- if message.role == 'system' %}{% continue %}{% endif -%}
    {%- set ns.seen = ns.seen + 1 -%}
    {%- set ns.text = ns.text ~ shout(message.content.strip()) ~ loop.index0 -%}
{%- endfor -%}
{{ ns.text }}{{ eos_token }}{{ bos_token }}{{ tools is defined }}
{{ messages[1:] | map(attribute='role') | join(', ') }} {{ messages | length * 2 }}
{{ {'a': ['é', 1]} | tojson }} {{ messages[0]['content'].split(' ')[-1] }}
{{ 'a-b'.replace('-', '+') }} {{ '%s' | default('x') }} {{ ', '.join(['p', 'q']) }}
{{ 'one\ntwo' | indent(2) }}{{ strftime_now('%%') }}"""
    assert render(source) == (
        '<B>HI</B>1</s>False\nuser 4\n{"a": ["é", 1]} brief.\na+b %s p, q\none\n  two%'
    )


def test_refusal_is_the_users_error() -> None:
    with pytest.raises(CallError) as raised:
        render("{{ raise_exception('roles must alternate') }}")
    assert str(raised.value) == (
        "chat_template.jinja: the chat template refuses these messages: roles must alternate"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ 'a'.center(9) }}",
        "{{ '{:>9}'.format(1) }}",
        "{{ (5).to_bytes(9) }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ self._TemplateReference__context }}",
    ],
)
def test_the_sandbox_holds(source: str) -> None:
    messages = [dict(message) for message in MESSAGES]
    try:
        assert render(source, messages) == ""
    except PackageError as error:
        assert str(error).startswith("chat_template.jinja: the chat template fails: ")
    assert messages == MESSAGES


_STOPPED = "chat_template.jinja: the chat template was stopped: "
_LONG = f"{_STOPPED}it makes more than 4194304 characters of text; give the whole prompt as text"
_STEPS = f"{_STOPPED}it ran more than 1000000 steps; give the whole prompt as text"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            _STEPS,
        ),
        ("{{ 'a' * 999999999 }}", _LONG),
        ("{{ [1] * 999999999 }}", _LONG),
        (
            "{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}"
            "{% endfor %}",
            _LONG,
        ),
        (
            "{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}"
            "{% endfor %}",
            _LONG,
        ),
        ("{% for i in range(9999) %}{{ 'a' * 999 }}{% endfor %}", _LONG),
        (
            "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}"
            "{% endfor %}{{ n.s }}",
            _STEPS,
        ),
        (
            "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}"
            "{% endfor %}{{ n.s | tojson }}",
            _STEPS,
        ),
        ("{{ ('a' * 9999) | replace('a', 'b' * 9999) }}", _LONG),
        ("{{ ('a' * 9999).replace('a', 'b' * 9999) }}", _LONG),
        ("{{ ('b' * 9999).join('a' * 9999) }}", _LONG),
        ("{{ ('a' * 9999) | join('b' * 9999) }}", _LONG),
        ("{{ 'a\nb' | indent(99999999) }}", _LONG),
        (
            "{{ 9 ** 9999 }}",
            f"{_STOPPED}it makes an integer of more than 4096 bits; give the whole prompt as text",
        ),
        (
            "{{ '%999999999d' % 1 }}",
            f"{_STOPPED}it formats text with '%', which can pad without bound; use '~'; "
            "give the whole prompt as text",
        ),
    ],
)
def test_limits(source: str, message: str) -> None:
    with pytest.raises(PackageError) as raised:
        render(source)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "a\n{% for %}",
            "chat_template.jinja:2: the chat template fails: TemplateSyntaxError: Expected an "
            "expression, got 'end of statement block'; give the whole prompt as text",
        ),
        (
            "{{ 'a' | center(9) }}",
            "chat_template.jinja:1: the chat template fails: TemplateAssertionError: "
            "No filter named 'center'.; give the whole prompt as text",
        ),
        (
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "chat_template.jinja: the chat template fails: RecursionError: maximum recursion "
            "depth exceeded; give the whole prompt as text",
        ),
        (
            " " * 300_000,
            "chat_template.jinja: the chat template has 300000 characters, at most 262144 are "
            "accepted; give the whole prompt as text",
        ),
    ],
)
def test_broken_templates(source: str, message: str) -> None:
    with pytest.raises(PackageError) as raised:
        render(source)
    assert str(raised.value).startswith(message.removesuffix("; give the whole prompt as text"))
    assert str(raised.value).endswith("; give the whole prompt as text")


def test_the_callers_tracer_comes_back() -> None:
    def tracer(frame: object, event: str, argument: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        render("x")
        with pytest.raises(PackageError):
            render("{{ 9 ** 9999 }}")
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
