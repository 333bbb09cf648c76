"""The strict reader: what it takes, what it refuses, and where it says the fault is."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_spec.errors import UnusableInput
from plumbline_spec.strict import MAX_DEPTH, JsonValue, UnreadableJson, read

GREATEST = 2**53 - 1

strict_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-GREATEST, GREATEST) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refusal(text: bytes, *, floats: bool = False, max_depth: int = MAX_DEPTH) -> UnreadableJson:
    with pytest.raises(UnreadableJson) as caught:
        read(text, floats=floats, max_depth=max_depth)
    return caught.value


@given(strict_values, st.booleans())
def test_what_is_written_is_read_back(value: JsonValue, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    assert read(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary() | st.text(alphabet='[]{}",:\\u0d8eE+-.1NaInfity \n').map(str.encode))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with contextlib.suppress(UnreadableJson):
        value = read(text, max_depth=3, floats=True)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_finite_float_is_read_when_floats_are_asked_for(value: float) -> None:
    assert read(repr(value).encode(), floats=True) == value


@pytest.mark.parametrize("literal", ["1.5", "1.0", "-0.0", "1e3", "1E-3"])
def test_a_float_is_refused_unless_asked_for(literal: str) -> None:
    error = refusal(f"[{literal}]".encode())
    assert error.what == f"the number '{literal}' is not an integer"
    assert error.offset == 1


@pytest.mark.parametrize("literal", ["1e400", "-1e400"])
def test_a_float_beyond_the_range_is_refused(literal: str) -> None:
    assert "beyond the range of floats" in refusal(literal.encode(), floats=True).what


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_refused_where_it_stands(literal: str) -> None:
    error = refusal(f'{{"{literal}":1.5,\n"é":{literal}x}}'.encode(), floats=True)
    assert error.what == f"{literal} is not JSON"
    assert (error.line, error.offset) == (2, len(literal) + 14)


@pytest.mark.parametrize("sign", ["", "-"])
def test_the_greatest_integer_is_read_and_the_next_refused(sign: str) -> None:
    assert read(f"{sign}{GREATEST}".encode()) == int(f"{sign}{GREATEST}")
    error = refusal(f"[{GREATEST}, {sign}{GREATEST + 1}]".encode())
    assert error.what == f"the integer '{sign}{GREATEST + 1}' is beyond ±(2**53 - 1)"
    assert error.offset == len(f"[{GREATEST}, ")


def test_an_integer_too_long_to_convert_is_refused_and_shown_short() -> None:
    error = refusal(b"9" * 10_000)
    assert error.what == f"the integer '{'9' * 40}…' is beyond ±(2**53 - 1)"


@pytest.mark.parametrize("text", [b'{"a":1,"a":1}', b'[{"b":0,"a":1,"c":2,"a":2}]'])
def test_a_key_that_stands_twice_is_refused(text: bytes) -> None:
    error = refusal(text)
    assert str(error) == "the key 'a' stands twice in one object"
    assert (error.line, error.offset) == (None, None)


def test_one_key_in_two_objects_is_read() -> None:
    assert read(b'[{"a":1},{"a":{"a":2}}]') == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (r'"\ud800"', 1),
        (r'["a", "\uDFFFb"]', 7),
        (r'"\\\ud83d"', 3),
        (r'"\ud83d\ud83d\ude00"', 1),
        (r'{"\ude00\ud83d":0}', 2),
        (r'"é\ud83d\n"', 3),
    ],
)
def test_a_lone_surrogate_is_refused_where_it_stands(text: str, offset: int) -> None:
    error = refusal(text.encode())
    assert error.what.startswith("a lone surrogate, \\u")
    assert error.offset == offset


@pytest.mark.parametrize(
    ("text", "value"),
    [(r'"\ud83d\uDE00"', "😀"), (r'"\\ud800"', r"\ud800"), (r'"\n\u0064"', "\nd")],
)
def test_escapes_that_make_characters_are_read(text: str, value: str) -> None:
    assert read(text.encode()) == value


def test_nesting_is_read_to_the_bound_and_refused_beyond_it() -> None:
    assert read(b'[{"a":[]},[]]', max_depth=3) == [{"a": []}, []]
    error = refusal(b'[{"]":[]},\n[[[]]]]', max_depth=3)
    assert str(error) == "nested deeper than 3 (line 2, byte 13)"


def test_brackets_in_strings_are_no_nesting() -> None:
    assert read(rb'["[[[[", "\"[[[{{", 1, true]', max_depth=1) == ["[[[[", '"[[[{{', 1, True]


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 10**5 + b"]" * 10**5])
def test_nesting_beyond_the_stack_is_refused(text: bytes) -> None:
    assert refusal(text, max_depth=10**6).what == "nested deeper than the stack that is left"


def test_length_is_read_to_the_bound_and_refused_beyond_it() -> None:
    assert read(b'"abc"', max_bytes=5) == "abc"
    with pytest.raises(UnreadableJson, match="6 bytes long, at most 5 are read"):
        read(b'"abc" ', max_bytes=5)


@pytest.mark.parametrize("text", [b'"a\xff"', b'"a\xed\xa0\x80"', b'"a\xc0\xaf"', b'"a\xf0\x9f"'])
def test_invalid_utf8_is_refused_where_it_stands(text: bytes) -> None:
    error = refusal(b"\n" + text)
    assert str(error) == "invalid UTF-8 (line 2, byte 3)"


def test_a_byte_order_mark_is_refused() -> None:
    assert refusal(b"\xef\xbb\xbf{}").what == "a byte order mark where a value is expected"


@pytest.mark.parametrize(
    ("text", "offset"),
    [(b"", 0), (b"{} x", 3), (b'"\n"', 1), (b'"\xc3\xa9" nul', 5), (b"[01]", 2)],
)
def test_what_is_not_json_is_refused_where_it_ends_to_be(text: bytes, offset: int) -> None:
    assert refusal(text).offset == offset


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b'\\"' * 500_000,
        b'"' * 1_000_000,
        b"\\" * 1_000_000,
        b"-" * 1_000_000,
        b'["' + b"[" * 1_000_000,
        b"{" + b",".join(b'"%d":1' % key for key in range(100_000)) + b',"9":1}',
    ],
    ids=["escaped quotes", "quotes", "backslashes", "signs", "unfinished string", "many keys"],
)
def test_a_text_made_to_be_slow_is_refused_all_the_same(text: bytes) -> None:
    assert isinstance(refusal(text), UnusableInput)


def test_a_foreign_text_keeps_digits_and_halves_of_pairs() -> None:
    text = rb'{"n": 123456789012345678901234567890, "x": 1.5, "t": "a\ud83d\\\ud83d\ud83d\ude00"}'
    assert read(text, foreign=True) == {
        "n": 123456789012345678901234567890,
        "x": 1.5,
        "t": "a\\ud83d\\\\ud83d\U0001f600",
    }


def test_a_foreign_integer_has_a_bound() -> None:
    with pytest.raises(UnreadableJson, match="more than 400 digits"):
        read(b"9" * 401, foreign=True)
