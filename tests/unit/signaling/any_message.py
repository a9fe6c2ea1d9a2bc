"""Protobuf messages with any contents, as their JSON: what a hostile client or caller sends that decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["any_message"]

_MOST_ELEMENTS = 3
_BITS = {
    FieldDescriptor.TYPE_INT32: (32, True),
    FieldDescriptor.TYPE_SINT32: (32, True),
    FieldDescriptor.TYPE_SFIXED32: (32, True),
    FieldDescriptor.TYPE_UINT32: (32, False),
    FieldDescriptor.TYPE_FIXED32: (32, False),
    FieldDescriptor.TYPE_INT64: (64, True),
    FieldDescriptor.TYPE_SINT64: (64, True),
    FieldDescriptor.TYPE_SFIXED64: (64, True),
    FieldDescriptor.TYPE_UINT64: (64, False),
    FieldDescriptor.TYPE_FIXED64: (64, False),
}
_NUMBERS = st.sampled_from([0.0, -1.5, 30.0, 1e30, "NaN", "-Infinity"])
_BASE64 = st.sampled_from(["", "AAEC", "A" * 4000])


def any_message(descriptor: Descriptor, texts: st.SearchStrategy[str], depth: int = 4) -> st.SearchStrategy[Any]:
    """Some of the message's fields, at most one of each choice, with values at the edges of what they can hold."""
    fields = [field for field in descriptor.fields if depth > 0 or field.message_type is None]
    if not fields:
        return st.just({})
    one = st.sampled_from(fields).flatmap(
        lambda field: _value(field, texts, depth - 1).map(lambda value: (field, value))
    )
    # Requests are choices of one member, which needs all the attention.
    most = 1 if descriptor.oneofs and all(field.containing_oneof for field in descriptor.fields) else len(fields)
    return st.lists(one, min_size=min(most, 1), max_size=most).map(_without_contradiction)


def _without_contradiction(chosen: list[tuple[FieldDescriptor, Any]]) -> dict[str, Any]:
    members: dict[str, tuple[FieldDescriptor, Any]] = {}
    for field, value in chosen:
        choice = field.containing_oneof
        members[choice.full_name if choice else field.full_name] = (field, value)
    return {field.name: value for field, value in members.values()}


def _value(field: FieldDescriptor, texts: st.SearchStrategy[str], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return st.dictionaries(texts, texts, max_size=_MOST_ELEMENTS)
    single = _single(field, texts, depth)
    return st.lists(single, max_size=_MOST_ELEMENTS) if field.is_repeated else single


def _single(field: FieldDescriptor, texts: st.SearchStrategy[str], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return any_message(field.message_type, texts, depth)
    if field.type in _BITS:
        bits, is_signed = _BITS[field.type]
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
        return st.sampled_from([low, 0, 1, 2, 640, high])
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, -1, 99])
    match field.type:
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_STRING:
            return texts
        case FieldDescriptor.TYPE_BYTES:
            return _BASE64
        case _:
            return _NUMBERS
