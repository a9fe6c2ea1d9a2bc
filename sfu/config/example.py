"""config.example.yaml, made from the models: every key with its default and its sentence.

Owns the form of the file. Run `python -m sfu.config.example > config.example.yaml` after a change of keys; a test
compares the two.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from sfu.config.base import Section
from sfu.config.load import has_effect
from sfu.config.ours import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

__all__ = ["render"]

_WIDTH = 118
_HEAD = """\
# Plenum's configuration: every key with its default. It is livekit-server's, with a section of ours, `plenum`.
#
#   plenum serve --config livekit.yaml
#
# An existing livekit.yaml is read as it is; only secrets below 32 characters are refused, outside dev mode. A key that
# neither of us knows is an error that names the nearest known one, if one is near.
# "No effect yet" marks keys of the reference that are accepted but change nothing here; at start, those that are set
# are named in a warning.
# Durations are written as in Go: 500ms, 20s, 1m30s. Every key that holds one value is a flag as well
# (--rtc.tcp_port 7881) and an environment variable (LIVEKIT_RTC_TCP_PORT=7881). Flags win over the environment, the
# environment over this file. Keys may also come as LIVEKIT_KEYS="key: secret", the whole file as LIVEKIT_CONFIG.
"""


def render() -> str:
    """The file's text."""
    return _HEAD + "".join(f"{line}\n" if line else "\n" for line in _section(Config, Config(), 0))


def _section(section: type[Section], values: Section, depth: int) -> Iterator[str]:
    after_section = depth == 0
    for attribute, field in section.model_fields.items():
        name, value = field.alias or attribute, getattr(values, attribute)
        is_section = isinstance(value, Section)
        if is_section or after_section:
            yield ""
        after_section = is_section
        yield from _comment(_sentence(field, value), depth)
        if is_section:
            yield f"{_indent(depth)}{name}:" if type(value).model_fields else f"{_indent(depth)}{name}: {{}}"
            yield from _section(type(value), value, depth + 1)
        elif isinstance(value, list) and len(value) > 1:
            yield f"{_indent(depth)}{name}:"
            yield from (f"{_indent(depth + 1)}- {_flow(item)}" for item in field.default)
        else:
            yield f"{_indent(depth)}{name}: {_value(field, value)}"


def _sentence(field: FieldInfo, value: object) -> str:
    text = field.description or (type(value).__doc__ if isinstance(value, Section) else "") or ""
    return text if has_effect(field) else f"{text} No effect yet."


def _comment(text: str, depth: int) -> Iterator[str]:
    indent = _indent(depth)
    for line in textwrap.wrap(text, _WIDTH - len(indent)):
        yield f"{indent}# {line}"


def _indent(depth: int) -> str:
    return "  " * depth


def _value(field: FieldInfo, value: Any) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if value[0] == value[1] else f"{value[0]}-{value[1]}"
    # As the default was written: `20s`, not 20.0.
    return str(field.default) if isinstance(value, float) else _flow(field.default)


def _flow(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201 - this is the program's output
