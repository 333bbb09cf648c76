"""The one codec: canonical bytes, digests and schemas of states, events, outcomes and traces.

Canonical bytes are JSON as RFC 8785 lays it out for what occurs here (objects with sorted keys, no
white space, no floats), so that a port in any language can compute the same digest. Two values are
equal when these bytes are: ``A(1) == A(True)`` in Python, but their bytes differ.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from plumbline_spec.strict import JsonValue

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIGEST_BYTES = 16

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: object) -> bytes:
    """Return the canonical bytes of a state, event, outcome or any struct of them.

    Raises ``UnicodeEncodeError`` for a lone surrogate, which no value that was decoded has.
    """
    return _encoder.encode(value)


def digest_of(encoded: bytes) -> str:
    """Return the digest of canonical bytes: BLAKE2b of 16 bytes, in hexadecimal."""
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).hexdigest()


def digest(value: object) -> str:
    """Return the digest of a value's canonical bytes."""
    return digest_of(canonical(value))


def plain(value: object) -> JsonValue:
    """Return a value as dicts, lists, strings and integers: what a reader of its JSON sees."""
    decoded: JsonValue = msgspec.json.decode(canonical(value))
    return decoded


def schema(record: type[msgspec.Struct], title: str) -> bytes:
    """Return the JSON Schema of a machine's record, with units and bounds, as a file holds it."""
    (_, *_), components = msgspec.json.schema_components([record], ref_template="#/$defs/{name}")
    definitions = {name: _closed(entry) for name, entry in sorted(components.items())}
    document = {
        "$schema": SCHEMA_DIALECT,
        "title": title,
        "$ref": f"#/$defs/{record.__name__}",
        "$defs": definitions,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _closed(entry: Mapping[str, object]) -> dict[str, object]:
    """Refuse unknown properties: a misspelt field is an error, not a default."""
    closed = dict(entry)
    if closed.get("type") == "object":
        closed["additionalProperties"] = False
    return closed
