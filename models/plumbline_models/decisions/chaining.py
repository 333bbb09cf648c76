"""The chain of a log: a hash of each row and of the chain before it.

Theory of operation. Two logs with the same chain at a position have the same rows up to there, so
whoever kept a chain beside what it made of a log asks one row whether the log is still the one that
it read. The chain is evidence against accidents and no seal: it is not keyed, and it is cut to 128
bits, which is enough that no two logs of a host ever share one by chance.
"""

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

HASH_BYTES = 16
START = ""
"""The chain before the first row."""

ChainField = Annotated[
    str,
    Meta(
        pattern=r"^([0-9a-f]{32})?$",
        description='hash of a row and of all before it, in hexadecimal; "" before the first row',
    ),
]
DigestField = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{32}$", description="hash of what was handed, in hexadecimal")
]

_encoder = msgspec.json.Encoder(order="sorted")


def digest(of: Struct) -> str:
    """Return the hash of a value's canonical bytes: equal values have equal ones."""
    return _hash(_encoder.encode(of))


def chained(before: str, row: Struct) -> str:
    """Return the chain at a row: of the chain before it, followed by the row's canonical bytes."""
    return _hash(before.encode() + _encoder.encode(row))


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=HASH_BYTES).hexdigest()
