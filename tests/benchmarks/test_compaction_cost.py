"""A forced sweep beside the released access pattern: statements, virtual machine, processor time.

``pytest tests/benchmarks/test_compaction_cost.py --benchmark-only -s`` shows the table. Statements
are counted, so they are the same on every machine; times are those of one run, in memory, without
the tracing that counts. What makes the released pattern is in ``released_pattern``.
"""

from collections.abc import Callable

import apsw
import pytest
from msgspec import Struct

from plumbline.compaction import PROGRAM
from plumbline.sqlite_host import SqliteHost
from plumbline_models.compaction import Event, Outcome, Settings, State, Sweep, Swept
from plumbline_models.decisions.escalation import Text
from plumbline_models.ordinals import SummaryId
from tests.benchmarks.figures import Benchmark, cpu_seconds, show
from tests.benchmarks.released_pattern import Released
from tests.conformance.test_compaction import C, chat, reads_of, writes_of
from tests.costs import Machine, profile

RECORDED = {
    (200, 20_000): (688, 269),
    (1_000, 20_000): (6_452, 5_109),
    (5_000, 20_000): (83_303, 125_947),
    (200, 2_000): (1_114, 1_901),
    (1_000, 2_000): (26_411, 52_597),
    (5_000, 2_000): (633_010, 1_316_756),
}
"""Reads and writes of the released code, by messages and tokens of a chunk."""
TARGETS = {20_000: (2_400, 2_000, 300), 2_000: (240, 200, 100)}
"""For each size of a chunk: leaf target, condensed target, tokens of every answer."""
QUICK = [one for one in RECORDED if one[0] < 5_000]


class Cost(Struct, frozen=True, kw_only=True):
    """What one sweep took."""

    passes: int
    reads: int
    writes: int
    steps: int
    """Instructions of SQLite's virtual machine."""
    seconds: float
    """Of the processor, in a run that nobody counts."""


def released(messages: int, chunk: int) -> Released:
    _, condensed, tokens = TARGETS[chunk]
    return Released(messages, chunk, condensed, tokens)


def released_cost(messages: int, chunk: int) -> Cost:
    seconds = cpu_seconds(released(messages, chunk).sweep)
    counted, machine = released(messages, chunk), Machine()
    profile(counted.db, machine.note)
    passes = counted.sweep()
    profile(counted.db, None)
    return Cost(
        passes=passes,
        reads=counted.reads,
        writes=counted.writes,
        steps=machine.steps,
        seconds=seconds,
    )


def sweep_of(chunk: int) -> Sweep:
    leaf, condensed, tokens = TARGETS[chunk]
    settings = Settings(
        leaf_chunk=chunk,
        leaf_target=leaf,
        condensed_target=condensed,
        passes=10_000,
        calls=100_000,
    )
    return Sweep(
        conversation=C,
        settings=settings,
        budget=0,
        force=True,
        summary=SummaryId("s"),
        script=(Text(text="x" * 4 * tokens),),
    )


def own_cost(messages: int, chunk: int) -> Cost:
    def swept(measured: Callable[[SqliteHost[State, Event, Outcome]], float]) -> float:
        host = SqliteHost[State, Event, Outcome](PROGRAM)
        for event in chat(messages):
            host.step(event)
        try:
            return measured(host)
        finally:
            host.close()

    found: list[Outcome] = []
    ran: list[str] = []
    machine = Machine()

    def timed(host: SqliteHost[State, Event, Outcome]) -> float:
        return cpu_seconds(lambda: found.append(host.step(sweep_of(chunk))))

    def counted(host: SqliteHost[State, Event, Outcome]) -> float:
        profile(host.connection, machine.note)
        with host.statements() as statements:
            host.step(sweep_of(chunk))
        ran.extend(statements)
        profile(host.connection, None)
        return 0.0

    seconds = swept(timed)
    swept(counted)
    (outcome,) = found
    assert isinstance(outcome, Swept)
    return Cost(
        passes=len(outcome.passes),
        reads=reads_of(ran),
        writes=writes_of(ran),
        steps=machine.steps,
        seconds=seconds,
    )


@pytest.mark.parametrize(("messages", "chunk"), QUICK)
def test_the_pattern_made_again_is_the_recorded_one(messages: int, chunk: int) -> None:
    again = released(messages, chunk)
    statements: list[str] = []

    def note(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        statements.append(sql)
        return True

    again.db.exec_trace = note
    again.sweep()
    assert (again.reads, again.writes) == RECORDED[messages, chunk]
    assert (reads_of(statements), writes_of(statements)) == RECORDED[messages, chunk]


@pytest.mark.parametrize(("messages", "chunk"), QUICK)
def test_a_sweep_takes_as_many_passes_and_far_fewer_statements(messages: int, chunk: int) -> None:
    """At 1,000 messages: a fiftieth."""
    own, theirs = own_cost(messages, chunk), released(messages, chunk)
    assert own.passes == theirs.sweep()
    ratio = (theirs.reads + theirs.writes) / (own.reads + own.writes)
    assert ratio >= (50 if messages >= 1_000 else 20)


def test_virtual_machine_steps_grow_with_messages_and_not_with_their_square() -> None:
    """A scan cannot hide in a statement."""
    few, many = own_cost(200, 2_000), own_cost(1_000, 2_000)
    assert many.steps < 8 * few.steps


def test_a_forced_sweep_beside_the_released_pattern(benchmark: Benchmark) -> None:
    rows: list[tuple[object, ...]] = []
    for (messages, chunk), recorded in RECORDED.items():
        own, theirs = own_cost(messages, chunk), released_cost(messages, chunk)
        assert (theirs.reads, theirs.writes) == recorded
        for name, cost in (("released", theirs), ("plumbline", own)):
            said = (cost.passes, cost.reads, cost.writes, cost.steps, cost.seconds)
            rows.append((messages, chunk, name, *said))
        statements = (theirs.reads + theirs.writes) / (own.reads + own.writes)
        steps, seconds = theirs.steps / own.steps, theirs.seconds / own.seconds
        rows.append((messages, chunk, "ratio", "", statements, "", steps, seconds))
    columns = ("messages", "chunk", "which", "passes", "reads", "writes", "steps", "CPU s")
    show("a forced sweep; statements of both kinds in a ratio", columns, rows)
    benchmark.extra_info["rows"] = rows
    benchmark(lambda: own_cost(200, 20_000))
