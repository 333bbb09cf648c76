"""The way in which released lossless-claw comes to its rows, made again to be measured.

It is the access pattern of a forced sweep since pull request 295, statement by statement: every
pass reads each raw message outside the tail by itself, reads its chunk twice more, and renumbers
the whole list through negative ordinals, one row a statement. Texts are as long as the recorded
ones and nobody reads them. The numbers of statements are those that were recorded of the released
code, kind by kind; ``test_compaction_cost`` holds them to that.
"""

from collections import Counter

import apsw

TAIL, LEAF_FANOUT, CONDENSED_FANOUT = 64, 8, 4
TABLES = """
CREATE TABLE conversations (conversation_id INTEGER PRIMARY KEY, title TEXT);
CREATE TABLE messages (message_id INTEGER PRIMARY KEY, conversation_id INTEGER NOT NULL,
    seq INTEGER NOT NULL, content TEXT NOT NULL, token_count INTEGER NOT NULL,
    UNIQUE (conversation_id, seq));
CREATE TABLE message_parts (part_id INTEGER PRIMARY KEY, message_id INTEGER NOT NULL, text TEXT);
CREATE INDEX parts_of_messages ON message_parts (message_id);
CREATE TABLE summaries (summary_id TEXT PRIMARY KEY, conversation_id INTEGER NOT NULL,
    depth INTEGER NOT NULL, content TEXT NOT NULL, token_count INTEGER NOT NULL);
CREATE TABLE summary_messages (summary_id TEXT NOT NULL, message_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL, PRIMARY KEY (summary_id, message_id));
CREATE TABLE summary_parents (summary_id TEXT NOT NULL, parent_summary_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL, PRIMARY KEY (summary_id, parent_summary_id));
CREATE TABLE context_items (conversation_id INTEGER NOT NULL, ordinal INTEGER NOT NULL,
    message_id INTEGER REFERENCES messages, summary_id TEXT REFERENCES summaries,
    PRIMARY KEY (conversation_id, ordinal));
"""

Item = tuple[int, int | None, str | None]
"""Ordinal, message, summary."""


class Released:
    """A database in the released layout, and a forced sweep over it."""

    def __init__(self, messages: int, chunk: int, target: int, summary_tokens: int) -> None:
        self.chunk, self.least = chunk, max(target, chunk // 10)
        self.summary_tokens, self.made = summary_tokens, 0
        self.kinds: Counter[str] = Counter()
        self.db = apsw.Connection("")
        self.db.execute(TABLES)
        rows = [(number, number, "x" * 400, 100) for number in range(1, messages + 1)]
        with self.db:
            self.db.execute("INSERT INTO conversations VALUES (1, 'one')")
            self.db.executemany("INSERT INTO messages VALUES (?, 1, ?, ?, ?)", rows)
            self.db.executemany(
                "INSERT INTO context_items VALUES (1, ?, ?, NULL)",
                ((number - 1, number) for number, *_ in rows),
            )
        self.items: list[Item] | None = None

    @property
    def reads(self) -> int:
        """Statements that read."""
        return sum(count for kind, count in self.kinds.items() if kind.startswith("r."))

    @property
    def writes(self) -> int:
        """Statements that write."""
        return sum(count for kind, count in self.kinds.items() if kind.startswith("w."))

    def sweep(self) -> int:
        """Compact until nothing is left to take; return the number of passes."""
        passes = 0
        self._one("r.tokens", _TOTAL, (1,))
        self._raw_outside()
        while chunk := self._leaf_chunk():
            self._pass(chunk, condensed=False)
            passes += 1
        while chunk := self._candidate():
            self._pass(chunk, condensed=True)
            passes += 1
        return passes

    # Reading

    def _list(self) -> list[Item]:
        if self.items is None:
            self.kinds["r.list"] += 1
            self.items = [
                (ordinal, message, summary)
                for ordinal, message, summary in self.db.execute(_LIST, (1,))
            ]
        return self.items

    def _one(self, kind: str, query: str, bindings: tuple[int | str, ...]) -> object:
        self.kinds[kind] += 1
        return self.db.execute(query, bindings).get

    def _message(self, message: int) -> int:
        self.kinds["r.message"] += 1
        rows = self.db.execute("SELECT * FROM messages WHERE message_id = ?", (message,)).fetchall()
        tokens = rows[0][4]
        assert isinstance(tokens, int)
        return tokens

    def _summary(self, summary: str) -> tuple[int, int]:
        self.kinds["r.summary"] += 1
        rows = self.db.execute(
            "SELECT * FROM summaries WHERE summary_id = ?", (summary,)
        ).fetchall()
        _, _, depth, _, tokens = rows[0]
        assert isinstance(depth, int)
        assert isinstance(tokens, int)
        return depth, tokens

    def _boundary(self) -> int:
        messages = [item for item in self._list() if item[1] is not None]
        return messages[max(0, len(messages) - TAIL)][0]

    def _raw_outside(self) -> int:
        end, tokens = self._boundary(), 0
        for ordinal, message, _ in self._list():
            if ordinal >= end:
                break
            if message is not None:
                tokens += self._message(message)
        return tokens

    def _leaf_chunk(self) -> list[Item]:
        end, tokens, chunk = self._boundary(), 0, list[Item]()
        for item in self._list():
            ordinal, message, _ = item
            if ordinal >= end or (message is None and chunk):
                break
            if message is None:
                continue
            count = self._message(message)
            if chunk and tokens + count > self.chunk:
                break
            chunk.append(item)
            tokens += count
            if tokens >= self.chunk:
                break
        return chunk

    def _candidate(self) -> list[Item]:
        self.kinds["r.depths"] += 1
        depths = [depth for (depth,) in self.db.execute(_DEPTHS, (1, self._boundary()))]
        for depth in depths:
            assert isinstance(depth, int)
            chunk, tokens = self._depth_chunk(depth)
            fanout = CONDENSED_FANOUT if depth else LEAF_FANOUT
            if len(chunk) >= fanout and tokens >= self.least:
                return chunk
        return []

    def _depth_chunk(self, wanted: int) -> tuple[list[Item], int]:
        end, tokens, chunk = self._boundary(), 0, list[Item]()
        for item in self._list():
            ordinal, _, summary = item
            if ordinal >= end or (summary is None and chunk):
                break
            if summary is None:
                continue
            depth, count = self._summary(summary)
            if depth != wanted:
                if chunk:
                    break
                continue
            if chunk and tokens + count > self.chunk:
                break
            chunk.append(item)
            tokens += count
            if tokens >= self.chunk:
                break
        return chunk, tokens

    # Writing

    def _pass(self, chunk: list[Item], *, condensed: bool) -> None:
        if condensed:
            before = [item for item in self._list() if item[0] < chunk[0][0] and item[2]]
            for _, _, summary in before[-4:]:
                assert summary is not None
                self._summary(summary)
            depth = 1 + max(self._summary(summary)[0] for _, _, summary in chunk if summary)
        else:
            # The chunk is loaded, each message with its parts, and then weighed again.
            depth = 0
            self._weigh()
            for _, message, _ in chunk:
                assert message is not None
                self._message(message)
                self._one("r.parts", "SELECT * FROM message_parts WHERE message_id = ?", (message,))
        self.made += 1
        self._commit(f"sum_{self.made}", depth, chunk)
        self._one("r.conversation", "SELECT * FROM conversations WHERE conversation_id = ?", (1,))

    def _weigh(self) -> None:
        """Weigh everything raw outside the tail, as each pass does."""
        self._raw_outside()

    def _commit(self, name: str, depth: int, chunk: list[Item]) -> None:
        with self.db:
            self._write(
                "w.summary",
                "INSERT INTO summaries VALUES (?, 1, ?, ?, ?)",
                (name, depth, "s" * 4 * self.summary_tokens, self.summary_tokens),
            )
            self._summary(name)
            for number, (_, message, summary) in enumerate(chunk):
                if message is not None:
                    self._write("w.lineage", _LINK, (name, message, number))
                else:
                    assert summary is not None
                    self._write("w.lineage", _LINK_SUMMARY, (name, summary, number))
            first, last = chunk[0][0], chunk[-1][0]
            self._write("w.delete", _DELETE, (1, first, last))
            self._write(
                "w.insert", "INSERT INTO context_items VALUES (1, ?, NULL, ?)", (first, name)
            )
            self._renumber()
        self.items = None

    def _renumber(self) -> None:
        self.kinds["r.scan"] += 1
        ordinals = [ordinal for (ordinal,) in self.db.execute(_ORDINALS, (1,))]
        if ordinals == list(range(len(ordinals))):
            return
        for rank, ordinal in enumerate(ordinals):
            assert isinstance(ordinal, int)
            self._write("w.ordinal", _MOVE, (-(rank + 1), 1, ordinal))
        for rank in range(len(ordinals)):
            self._write("w.ordinal", _MOVE, (rank, 1, -(rank + 1)))

    def _write(self, kind: str, statement: str, bindings: tuple[int | str, ...]) -> None:
        self.kinds[kind] += 1
        self.db.execute(statement, bindings)


_TOTAL = """
SELECT (SELECT coalesce(sum(m.token_count), 0) FROM context_items AS c
            JOIN messages AS m ON m.message_id = c.message_id WHERE c.conversation_id = ?1)
    + (SELECT coalesce(sum(s.token_count), 0) FROM context_items AS c
            JOIN summaries AS s ON s.summary_id = c.summary_id WHERE c.conversation_id = ?1)
"""
_LIST = """
SELECT ordinal, message_id, summary_id FROM context_items WHERE conversation_id = ?
ORDER BY ordinal
"""
_DEPTHS = """
SELECT DISTINCT s.depth FROM context_items AS c JOIN summaries AS s ON s.summary_id = c.summary_id
WHERE c.conversation_id = ? AND c.ordinal < ? ORDER BY s.depth
"""
_LINK = "INSERT INTO summary_messages VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_LINK_SUMMARY = "INSERT INTO summary_parents VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_DELETE = "DELETE FROM context_items WHERE conversation_id = ? AND ordinal BETWEEN ? AND ?"
_ORDINALS = "SELECT ordinal FROM context_items WHERE conversation_id = ? ORDER BY ordinal"
_MOVE = "UPDATE context_items SET ordinal = ? WHERE conversation_id = ? AND ordinal = ?"
