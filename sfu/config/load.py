"""From texts to a checked configuration: YAML, then environment, then flags; the later wins.

Owns parsing, the merge and the one-line errors (key, value, nearest known key). Never binds a port or reads a clock.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast, get_origin

import yaml
from pydantic import ValidationError

from sfu.config.base import Section
from sfu.config.ours import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

__all__ = ["ConfigError", "boolean_keys", "documented_keys", "has_effect", "ineffective_keys", "load", "scalar_keys"]

_NULLS = ("", "~", "null", "Null", "NULL")
_PREFIX = "LIVEKIT_"


class ConfigError(ValueError):
    """The configuration cannot be used; the text is one line that names the key."""


class _Loader(yaml.BaseLoader):
    """Every scalar stays a text (the models convert), and a key given twice is an error."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name = loader.construct_object(key_node, deep=True)
        if not isinstance(name, str):
            raise ConfigError(f"line {key_node.start_mark.line + 1}: a key must be a text")
        if name in mapping:
            raise ConfigError(f'line {key_node.start_mark.line + 1}: the key "{name}" is given twice')
        null = isinstance(value_node, yaml.ScalarNode) and value_node.style is None and value_node.value in _NULLS
        mapping[name] = None if null else loader.construct_object(value_node, deep=True)
    return mapping


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load(
    text: str = "",
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    strict: bool = True,
) -> Config:
    """The configuration.

    Args:
        text: YAML, as in the reference's `livekit.yaml`.
        env: Variables; `LIVEKIT_RTC_TCP_PORT` is `rtc.tcp_port`. Others are not looked at.
        flags: Dotted key -> value.
        strict: False leaves out unknown keys of `text` instead, as the reference's `--disable-strict-config`.

    Raises:
        ConfigError: Not YAML, an unknown key or an impossible value.
    """
    tree = _parse(text)
    if strict:
        _refuse_unknown(tree, Config, "")
    else:
        tree = _without_unknown(tree, Config)
    for path, value in _from_env(env or {}):
        _put(tree, path, value)
    for path, value in (flags or {}).items():
        _put(tree, path, value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def scalar_keys() -> tuple[str, ...]:
    """Dotted names of all keys that an environment variable or a flag can set."""
    return tuple(path for path, field in documented_keys() if _is_scalar(field))


def boolean_keys() -> frozenset[str]:
    """Those of `scalar_keys` that are switches."""
    return frozenset(path for path, field in documented_keys() if field.annotation is bool)


def documented_keys(section: type[Section] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted name and field of every key, sections left out, in order."""
    for name, field, inner in _fields(section):
        if inner is not None:
            yield from documented_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def ineffective_keys(config: Section, prefix: str = "") -> list[str]:
    """Dotted names of the keys that were set, to something else than their default, but change nothing here yet."""
    names: list[str] = []
    for attribute, field in type(config).model_fields.items():
        if attribute not in config.model_fields_set:
            continue
        name, value = f"{prefix}{field.alias or attribute}", getattr(config, attribute)
        if isinstance(value, Section):
            names += ineffective_keys(value, f"{name}.")
        elif not has_effect(field) and value != getattr(type(config)(), attribute):
            names.append(name)
    return names


def has_effect(field: FieldInfo) -> bool:
    """Whether a key changes anything here."""
    extra = field.json_schema_extra
    return not (isinstance(extra, dict) and extra.get("effect") is False)


def _parse(text: str) -> dict[str, Any]:
    try:
        # BaseLoader builds texts, lists and mappings only; see _Loader.
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"line {line} is not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not YAML: {type(error).__name__}") from None
    if tree is None or tree in _NULLS:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError('not a configuration: it must be lines of "key: value"')
    return cast("dict[str, Any]", _without_nulls(tree))


def _without_nulls(value: Any) -> Any:
    """A key without a value means its default, as in the reference."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _fields(section: type[Section]) -> Iterator[tuple[str, FieldInfo, type[Section] | None]]:
    for attribute, field in section.model_fields.items():
        kind = field.annotation
        inner = kind if isinstance(kind, type) and issubclass(kind, Section) else None
        yield field.alias or attribute, field, inner


def _is_scalar(field: FieldInfo) -> bool:
    return get_origin(field.annotation) not in (list, dict)


def _refuse_unknown(tree: Mapping[str, Any], section: type[Section], prefix: str) -> None:
    known = {name: inner for name, _, inner in _fields(section)}
    for name, value in tree.items():
        if name not in known:
            raise ConfigError(f'unknown key "{prefix}{name}"; did you mean "{nearest_key(prefix, name)}"?')
        inner = known[name]
        if inner is not None:
            if not isinstance(value, dict):
                raise ConfigError(f'"{prefix}{name}" must be a section with keys of its own')
            _refuse_unknown(value, inner, f"{prefix}{name}.")


def _without_unknown(tree: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, _, inner in _fields(section):
        if name in tree:
            value = tree[name]
            kept[name] = _without_unknown(value, inner) if inner is not None and isinstance(value, dict) else value
    return kept


def nearest_key(prefix: str, name: str) -> str:
    """The known key that comes closest to `prefix` + `name`; first the same name elsewhere, then by likeness."""
    paths = [path for path, _ in documented_keys()]
    sections = sorted({path.rpartition(".")[0] for path in paths} - {""})
    everything = [*paths, *sections]
    # `debug_handler_port`, as the reference's sample file has it, is `debug_handler.port`.
    flat = f"{prefix}{name}".replace(".", "_")
    same_name = [path for path in everything if path.rpartition(".")[2] == name or path.replace(".", "_") == flat]
    if same_name:
        return same_name[0]
    siblings = [path for path in everything if path.startswith(prefix) and "." not in path[len(prefix) :]]
    for candidates, cutoff in ((siblings, 0.7), (everything, 0.0)):
        found = difflib.get_close_matches(prefix + name, candidates, n=1, cutoff=cutoff)
        if found:
            return found[0]
    return "port"


def _from_env(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path in scalar_keys():
        value = env.get(_PREFIX + path.upper().replace(".", "_"))
        if value:
            yield path, value


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[name] = value


def _one_line(error: ValidationError) -> str:
    first, *others = error.errors(include_url=False)
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        # Only inside lists: the rest was checked before, with the nearest key.
        text = f'unknown key "{path}"'
    else:
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        # A secret is never repeated.
        shown = "" if _is_secret(path) else f" (is {str(first['input'])[:60]!r})"
        text = f"{path}: {message}{shown}"
    return " ".join((text + (f" – and {len(others)} more" if others else "")).split())


def _is_secret(path: str) -> bool:
    return any(word in path for word in ("keys", "password", "secret", "credential"))
