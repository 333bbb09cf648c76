"""The tables of a Plumbline database, as numbered migrations: the one place with SQL of structure.

A database carries the number of its last migration in ``plumbline_meta``. A migration is never
edited once it was released; a change is a further one.

Where an item stands. ``context.position`` is the sequence number of the first message that the item
covers: a message's own, a summary's first source's. Sequence numbers come from
``conversations.next_sequence`` and are never reused, so a position is a function of lineage:
nothing is ever renumbered, a replacement touches only the rows that it removes, and ``lineage``
alone puts a rollback back where it was. The ordinal of an item is its rank by position and is not
stored.

What a snapshot holds. Snapshots are published with a compare-and-swap of ``manifest.current`` and
never change after that. A merge stores the keys that it changed, with what they came to; so what it
writes depends on the delta, and a snapshot is read in one query over its lineage, which is as deep
as merges are allowed between two rebuilds.
"""

ENVELOPE = """
CREATE TABLE requests (
    request TEXT NOT NULL PRIMARY KEY,
    event   TEXT NOT NULL,              -- digest of the event's canonical bytes
    outcome BLOB NOT NULL               -- the outcome's canonical bytes
) STRICT, WITHOUT ROWID;

CREATE TRIGGER requests_stay BEFORE UPDATE ON requests
BEGIN SELECT RAISE(ABORT, 'a stored answer is never changed'); END;
"""

ORDINALS = """
CREATE TABLE conversations (
    conversation  TEXT NOT NULL PRIMARY KEY,
    next_sequence INTEGER NOT NULL DEFAULT 1 CHECK (next_sequence >= 1),
    items         INTEGER NOT NULL DEFAULT 0 CHECK (items >= 0)   -- length of the context
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    message      TEXT NOT NULL PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversations,
    sequence     INTEGER NOT NULL CHECK (sequence >= 1),
    text         TEXT NOT NULL,
    UNIQUE (conversation, sequence)
) STRICT;

CREATE TABLE summaries (
    summary      TEXT NOT NULL PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversations,
    depth        INTEGER NOT NULL CHECK (depth >= 0),
    text         TEXT NOT NULL
) STRICT;
CREATE INDEX summaries_of_conversation ON summaries (conversation, summary);

CREATE TABLE lineage (
    summary  TEXT NOT NULL REFERENCES summaries,
    position INTEGER NOT NULL CHECK (position >= 1),
    message  TEXT REFERENCES messages,
    source   TEXT REFERENCES summaries (summary) CHECK (source <> summary),
    PRIMARY KEY (summary, position),
    CHECK ((message IS NULL) <> (source IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE context (
    conversation TEXT NOT NULL REFERENCES conversations,
    position     INTEGER NOT NULL CHECK (position >= 1),
    message      TEXT REFERENCES messages,
    summary      TEXT REFERENCES summaries,
    PRIMARY KEY (conversation, position),
    CHECK ((message IS NULL) <> (summary IS NULL))
) STRICT, WITHOUT ROWID;

-- Of the two columns of a row one is null; an index without nulls has half of them.
CREATE UNIQUE INDEX lineage_of_messages ON lineage (message) WHERE message IS NOT NULL;
CREATE UNIQUE INDEX lineage_of_summaries ON lineage (source) WHERE source IS NOT NULL;
CREATE UNIQUE INDEX context_of_messages ON context (message) WHERE message IS NOT NULL;
CREATE UNIQUE INDEX context_of_summaries ON context (summary) WHERE summary IS NOT NULL;

CREATE TABLE losses (
    conversation TEXT NOT NULL REFERENCES conversations,
    position     INTEGER NOT NULL CHECK (position >= 1),
    cause        TEXT NOT NULL CHECK (cause IN ('forgotten', 'pruned')),
    message      TEXT,
    summary      TEXT,
    PRIMARY KEY (conversation, position, cause),
    CHECK ((message IS NULL) <> (summary IS NULL)),
    CHECK (cause = 'pruned' OR message IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX forgotten_messages ON losses (message) WHERE cause = 'forgotten';

CREATE TRIGGER messages_stay BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'a stored message is never changed'); END;
CREATE TRIGGER summaries_stay BEFORE UPDATE ON summaries
BEGIN SELECT RAISE(ABORT, 'a stored summary is never changed'); END;
CREATE TRIGGER lineage_stays BEFORE UPDATE ON lineage
BEGIN SELECT RAISE(ABORT, 'a lineage is never changed'); END;
CREATE TRIGGER losses_stay BEFORE UPDATE ON losses
BEGIN SELECT RAISE(ABORT, 'the record of a loss is never changed'); END;
CREATE TRIGGER losses_remain BEFORE DELETE ON losses
BEGIN SELECT RAISE(ABORT, 'the record of a loss is never removed'); END;
CREATE TRIGGER sequence_grows BEFORE UPDATE OF next_sequence ON conversations
WHEN new.next_sequence < old.next_sequence
BEGIN SELECT RAISE(ABORT, 'a sequence number is never issued again'); END;
"""

TOKENS = """
ALTER TABLE messages ADD COLUMN tokens INTEGER;
ALTER TABLE summaries ADD COLUMN tokens INTEGER;
ALTER TABLE conversations ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0 CHECK (tokens >= 0);

CREATE TRIGGER message_counts BEFORE INSERT ON messages
WHEN new.tokens < (new.text <> '')
BEGIN SELECT RAISE(ABORT, 'a text with content counts at least one token'); END;
CREATE TRIGGER summary_counts BEFORE INSERT ON summaries
WHEN new.tokens < (new.text <> '')
BEGIN SELECT RAISE(ABORT, 'a text with content counts at least one token'); END;
"""

INTAKE = """
CREATE TABLE entries (
    number       INTEGER PRIMARY KEY,   -- in the order of storing
    conversation TEXT NOT NULL REFERENCES conversations,
    source       TEXT NOT NULL,
    entry        TEXT,
    place        INTEGER CHECK (place >= 1),
    standing     TEXT NOT NULL CHECK (standing IN ('placed', 'carried', 'aside')),
    digest       TEXT NOT NULL,
    role         TEXT NOT NULL,
    message      TEXT,                  -- stays when the message is forgotten
    text         TEXT,
    time         TEXT,
    CHECK ((standing = 'placed') = (message IS NOT NULL)),
    CHECK ((standing = 'placed') = (text IS NULL))
) STRICT;
CREATE UNIQUE INDEX entries_by_id ON entries (conversation, entry) WHERE entry IS NOT NULL;
CREATE UNIQUE INDEX entries_by_place ON entries (conversation, source, place)
WHERE place IS NOT NULL;
CREATE INDEX entries_without_id ON entries (conversation, source) WHERE entry IS NULL;
CREATE INDEX entries_without_place ON entries (conversation, source) WHERE place IS NULL;
CREATE INDEX entries_in_order ON entries (conversation, number);
CREATE INDEX entries_of_messages ON entries (message, role, time) WHERE message IS NOT NULL;
CREATE INDEX branches ON entries (conversation, number)
WHERE entry IS NOT NULL AND standing <> 'aside';

CREATE TABLE parts (
    number INTEGER NOT NULL REFERENCES entries,
    part   INTEGER NOT NULL CHECK (part >= 0),
    kind   TEXT NOT NULL,
    start  INTEGER NOT NULL CHECK (start >= 0),    -- in code points of the text
    length INTEGER NOT NULL CHECK (length >= 0),
    call   TEXT,
    name   TEXT,
    PRIMARY KEY (number, part)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'a stored entry is never changed'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'a stored entry is never removed'); END;
CREATE TRIGGER parts_stay BEFORE UPDATE ON parts
BEGIN SELECT RAISE(ABORT, 'a stored part is never changed'); END;
CREATE TRIGGER parts_remain BEFORE DELETE ON parts
BEGIN SELECT RAISE(ABORT, 'a stored part is never removed'); END;
"""

COMPACTION = """
ALTER TABLE conversations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0);

CREATE TABLE extents (
    summary           TEXT NOT NULL PRIMARY KEY REFERENCES summaries ON DELETE CASCADE,
    earliest          TEXT,
    latest            TEXT,
    descendants       INTEGER NOT NULL CHECK (descendants >= 0),
    descendant_tokens INTEGER NOT NULL CHECK (descendant_tokens >= 0),
    source_tokens     INTEGER NOT NULL CHECK (source_tokens >= 0),
    files             TEXT NOT NULL     -- ids of files, a JSON array
) STRICT, WITHOUT ROWID;

CREATE TRIGGER extents_stay BEFORE UPDATE ON extents
BEGIN SELECT RAISE(ABORT, 'a stored extent is never changed'); END;
"""

ANCHORING = """
CREATE TABLE keys (
    key    INTEGER PRIMARY KEY,
    family TEXT NOT NULL,
    plan   TEXT NOT NULL,
    mode   TEXT NOT NULL,
    UNIQUE (family, plan, mode)
) STRICT;

CREATE TABLE log (
    position INTEGER PRIMARY KEY CHECK (position BETWEEN 1 AND 2147483648),
    outcome  TEXT NOT NULL UNIQUE,
    key      INTEGER NOT NULL REFERENCES keys,
    reward   INTEGER CHECK (reward BETWEEN -1000000 AND 1000000),   -- NULL: retracted
    source   TEXT NOT NULL CHECK (source IN ('live', 'backfill')),
    under    INTEGER,                   -- the snapshot that it was decided under
    epoch    INTEGER NOT NULL CHECK (epoch >= 1),
    digest   BLOB NOT NULL,             -- of what was handed
    chain    BLOB NOT NULL              -- of this row and all before it
) STRICT;
CREATE INDEX log_under ON log (under) WHERE under IS NOT NULL;

CREATE TABLE truncated (
    outcome  TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    digest   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    snapshot     INTEGER PRIMARY KEY,
    epoch        INTEGER NOT NULL,
    watermark    INTEGER NOT NULL CHECK (watermark >= 0),
    chain        BLOB NOT NULL,         -- of the log at the watermark
    way          TEXT NOT NULL CHECK (way IN ('full_rebuild', 'delta_merge')),
    reason       TEXT NOT NULL,
    parent       INTEGER CHECK (parent < snapshot),
    exact        INTEGER NOT NULL REFERENCES snapshots DEFERRABLE INITIALLY DEFERRED,
    merged       INTEGER NOT NULL CHECK (merged >= 0),
    generated_at INTEGER NOT NULL,
    exact_at     INTEGER NOT NULL,
    config       TEXT NOT NULL,
    CHECK ((way = 'full_rebuild') = (exact = snapshot)),
    CHECK ((way = 'full_rebuild') = (merged = 0))
) STRICT;
CREATE INDEX snapshots_of_lineages ON snapshots (exact, snapshot);

-- A rebuild has a row for every key, a merge for the keys that it changed: the statistics of a
-- snapshot are the newest rows up to it, key by key, of its lineage.
CREATE TABLE statistics (
    exact        INTEGER NOT NULL,
    key          INTEGER NOT NULL REFERENCES keys,
    snapshot     INTEGER NOT NULL
        REFERENCES snapshots ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    outcomes     INTEGER NOT NULL CHECK (outcomes >= 1),
    total        INTEGER NOT NULL,
    least        INTEGER NOT NULL,
    greatest     INTEGER NOT NULL CHECK (greatest >= least),
    squares_high INTEGER NOT NULL CHECK (squares_high >= 0),
    squares_low  INTEGER NOT NULL CHECK (squares_low BETWEEN 0 AND 999999),
    PRIMARY KEY (exact, key, snapshot)
) STRICT, WITHOUT ROWID;
CREATE INDEX statistics_of_snapshots ON statistics (snapshot);

CREATE TABLE manifest (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    current    INTEGER REFERENCES snapshots,
    foundation INTEGER REFERENCES snapshots,     -- stands for what was truncated
    epoch      INTEGER NOT NULL DEFAULT 1,
    issued     INTEGER NOT NULL DEFAULT 0,
    reused     INTEGER NOT NULL DEFAULT 0        -- whether the last refresh stayed with current
        CHECK (reused IN (0, 1))
) STRICT;
INSERT INTO manifest (one) VALUES (1);

CREATE TABLE live (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    anchor INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    lo     INTEGER NOT NULL,
    hi     INTEGER NOT NULL CHECK (hi >= lo),
    chain  BLOB NOT NULL
) STRICT;

CREATE TABLE live_statistics (
    key          INTEGER PRIMARY KEY REFERENCES keys,
    outcomes     INTEGER NOT NULL CHECK (outcomes >= 1),
    total        INTEGER NOT NULL,
    least        INTEGER NOT NULL,
    greatest     INTEGER NOT NULL CHECK (greatest >= least),
    squares_high INTEGER NOT NULL CHECK (squares_high >= 0),
    squares_low  INTEGER NOT NULL CHECK (squares_low BETWEEN 0 AND 999999)
) STRICT;

CREATE TABLE pins (
    pin      TEXT NOT NULL PRIMARY KEY,
    snapshot INTEGER NOT NULL REFERENCES snapshots ON DELETE RESTRICT,
    owner    TEXT NOT NULL,
    expires  INTEGER,                   -- NULL: never
    gate     INTEGER NOT NULL CHECK (gate IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX pins_of_snapshots ON pins (snapshot);

CREATE TABLE verdicts (
    gate      TEXT NOT NULL PRIMARY KEY,
    snapshot  INTEGER NOT NULL REFERENCES snapshots ON DELETE RESTRICT,
    candidate TEXT NOT NULL,
    result    TEXT NOT NULL,
    promoted  INTEGER NOT NULL CHECK (promoted IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX verdicts_of_snapshots ON verdicts (snapshot);

CREATE TRIGGER outcomes_stay BEFORE UPDATE OF position, outcome, source, under, digest ON log
BEGIN SELECT RAISE(ABORT, 'a rewriting changes the key and the reward of an outcome alone'); END;
CREATE TRIGGER log_remains BEFORE DELETE ON log
WHEN NOT EXISTS (SELECT 1 FROM truncated WHERE outcome = old.outcome)
BEGIN SELECT RAISE(ABORT, 'an outcome is never forgotten'); END;
CREATE TRIGGER truncated_stay BEFORE UPDATE ON truncated
BEGIN SELECT RAISE(ABORT, 'what is known of an outcome is never changed'); END;
CREATE TRIGGER truncated_remain BEFORE DELETE ON truncated
BEGIN SELECT RAISE(ABORT, 'an outcome is never forgotten'); END;
CREATE TRIGGER snapshots_stay BEFORE UPDATE ON snapshots
BEGIN SELECT RAISE(ABORT, 'a snapshot is never changed'); END;
CREATE TRIGGER bases_remain BEFORE DELETE ON snapshots
WHEN EXISTS (SELECT 1 FROM snapshots WHERE exact = old.exact AND snapshot > old.snapshot)
BEGIN SELECT RAISE(ABORT, 'another snapshot was merged from this one'); END;
CREATE TRIGGER statistics_stay BEFORE UPDATE ON statistics
BEGIN SELECT RAISE(ABORT, 'a snapshot is never changed'); END;
CREATE TRIGGER statistics_come_first BEFORE INSERT ON statistics
WHEN EXISTS (SELECT 1 FROM snapshots WHERE snapshot = new.snapshot)
BEGIN SELECT RAISE(ABORT, 'a snapshot is never changed'); END;
CREATE TRIGGER statistics_remain BEFORE DELETE ON statistics
WHEN EXISTS (SELECT 1 FROM snapshots WHERE snapshot = old.snapshot)
BEGIN SELECT RAISE(ABORT, 'a snapshot is never changed'); END;
CREATE TRIGGER ids_ascend BEFORE UPDATE OF issued ON manifest
WHEN new.issued < old.issued
BEGIN SELECT RAISE(ABORT, 'the number of a snapshot is never issued again'); END;
CREATE TRIGGER epochs_ascend BEFORE UPDATE OF epoch ON manifest
WHEN new.epoch < old.epoch
BEGIN SELECT RAISE(ABORT, 'an epoch does not come back'); END;
CREATE TRIGGER manifest_remains BEFORE DELETE ON manifest
BEGIN SELECT RAISE(ABORT, 'there is one manifest'); END;
CREATE TRIGGER verdicts_stay BEFORE UPDATE ON verdicts
BEGIN SELECT RAISE(ABORT, 'a verdict is never changed'); END;
CREATE TRIGGER verdicts_remain BEFORE DELETE ON verdicts
BEGIN SELECT RAISE(ABORT, 'a verdict is never removed'); END;
"""

MIGRATIONS = (ENVELOPE, ORDINALS, TOKENS, INTAKE, COMPACTION, ANCHORING)
"""Migration number n (counted from 1) leads from version n - 1 to version n."""
