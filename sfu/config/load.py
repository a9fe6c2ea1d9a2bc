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
    from pydantic_core import ErrorDetails

__all__ = [
    "ConfigError",
    "boolean_keys",
    "documented_keys",
    "has_effect",
    "ineffective_keys",
    "load",
    "scalar_keys",
    "unknown_variables",
]

_NULLS = ("", "~", "null", "Null", "NULL")
_PREFIX = "LIVEKIT_"
_SIBLING_LIKENESS = 0.7
_LIKENESS = 0.6
_OTHER_VARIABLES = {"LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "LIVEKIT_TURN_CERT", "LIVEKIT_TURN_KEY"}
"""Flags and other programs read them."""
_SECTION = "should be a section with keys of its own"
_WHOLE, _NUMBER, _SWITCH = "should be a whole number", "should be a number", "should be true or false"
_SENTENCES = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_parsing", "bool_type"), _SWITCH),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), _SECTION),
    "string_type": "should be a text",
    "list_type": "should be a list",
    "greater_than_equal": "should be at least {ge}{unit}",
    "less_than_equal": "should be at most {le}{unit}",
    "literal_error": "should be {expected}",
}
"""What is wrong, in words for those who never saw our models."""


class ConfigError(ValueError):
    """The configuration cannot be used; the text is one line that names the key."""

    def __init__(self, message: str, *, in_text: bool = True) -> None:
        """`in_text` is False when the value came from a flag or a variable, not from the file."""
        super().__init__(message)
        self.in_text = in_text


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
        _refuse_unknown(tree)
    else:
        tree = _without_unknown(tree, Config)
    elsewhere = {**dict(_from_env(env or {})), **(flags or {})}
    for path, value in elsewhere.items():
        _put(tree, path, value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        path = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise ConfigError(_one_line(error), in_text=path not in elsewhere) from None


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


def _refuse_unknown(tree: Mapping[str, Any]) -> None:
    """Names every unknown key at once: a file from elsewhere has several."""
    unknown = list(_unknown(tree, Config, ""))
    if len(unknown) == 1:
        prefix, name = unknown[0]
        near = nearest_key(prefix, name)
        raise ConfigError(f'unknown key "{prefix}{name}"' + (f'; did you mean "{near}"?' if near else ""))
    if unknown:
        named = []
        for prefix, name in unknown:
            near = nearest_key(prefix, name)
            named.append(f'"{prefix}{name}"' + (f' (did you mean "{near}"?)' if near else ""))
        raise ConfigError(f"unknown keys {', '.join(named)}")


def _unknown(tree: Mapping[str, Any], section: type[Section], prefix: str) -> Iterator[tuple[str, str]]:
    known = {name: inner for name, _, inner in _fields(section)}
    for name, value in tree.items():
        if name not in known:
            yield prefix, name
            continue
        inner = known[name]
        if inner is not None:
            if not isinstance(value, dict):
                raise ConfigError(f'"{prefix}{name}" must be a section with keys of its own')
            yield from _unknown(value, inner, f"{prefix}{name}.")


def _without_unknown(tree: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, _, inner in _fields(section):
        if name in tree:
            value = tree[name]
            kept[name] = _without_unknown(value, inner) if inner is not None and isinstance(value, dict) else value
    return kept


def nearest_key(prefix: str, name: str) -> str | None:
    """The known key that comes closest to `prefix` + `name`: siblings first, then the same name elsewhere.

    Returns:
        `None` when nothing is near enough for a hint to help.
    """
    paths = [path for path, _ in documented_keys()]
    everything = [*paths, *sorted({path.rpartition(".")[0] for path in paths} - {""})]
    # `debug_handler_port`, as older files of the reference have it, is `debug_handler.port`.
    flat = f"{prefix}{name}".replace(".", "_")
    moved = [path for path in everything if path.replace(".", "_") == flat]
    siblings = [path for path in everything if path.startswith(prefix) and "." not in path[len(prefix) :]]
    found = moved or _alike(name, siblings, _SIBLING_LIKENESS)
    found = found or [path for path in everything if path.rpartition(".")[2] == name]
    found = found or _alike(name, everything, _LIKENESS)
    return found[0] if found else None


def _alike(name: str, paths: list[str], cutoff: float) -> list[str]:
    """Those of `paths` whose last part is most like `name`; sections in front would make everything alike."""
    close = difflib.get_close_matches(name, [path.rpartition(".")[2] for path in paths], n=1, cutoff=cutoff)
    return [path for path in paths if path.rpartition(".")[2] in close]


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Variables that look like a key of one of our sections, `LIVEKIT_RTC_…`, but set nothing."""
    sections = tuple(f"{_PREFIX}{name.upper()}_" for name, _, inner in _fields(Config) if inner and inner.model_fields)
    known = {_PREFIX + path.upper().replace(".", "_") for path in scalar_keys()} | _OTHER_VARIABLES
    return sorted(name for name in env if name.startswith(sections) and name not in known)


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
    # Unknown ones only inside lists: the rest was checked before, with the nearest key.
    unknown = first["type"] == "extra_forbidden"
    text = f'unknown key "{path}"' if unknown else f"{path}: {_sentence(first)}"
    return " ".join((text + (f" – and {len(others)} more" if others else "")).split())


def _sentence(error: ErrorDetails) -> str:
    """What is wrong with a value, and the value as it could stand in the file, cut."""
    value, plain = error["input"], _SENTENCES.get(error["type"])
    # Only a duration ends in a letter and is compared with a number.
    unit = "s" if isinstance(value, str) and value[-1:].isalpha() else ""
    text = plain.format_map({**error.get("ctx", {}), "unit": unit}) if plain else error["msg"]
    shown = repr(str(value)[:60])
    if isinstance(value, list | dict):
        shown = ("a list" if isinstance(value, list) else "a section") if plain else ""
    # A secret is never repeated.
    is_secret = _is_secret(".".join(str(part) for part in error["loc"]))
    return text.removeprefix("Value error, ") + (f" (is {shown})" if shown and not is_secret else "")


def _is_secret(path: str) -> bool:
    return any(word in path for word in ("keys", "password", "secret", "credential"))
