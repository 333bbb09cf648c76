"""Mutants of the implementation: builds that are wrong in one place, derived from its source.

Which sources, and which not. What is mutated is what an event runs through, from its envelope to
the last row, and what is read of it afterwards. Each module is judged on the machine whose module
it is, and what all of them stand on is judged on the uppermost, whose events use all of it.

Not mutated, because no event can tell:

- what opens a database (``open_database`` and what it calls): it runs before the first event, and
  is held by ``tests/conformance/test_database.py`` and by the settings of ``faults``;
- ``plumbline.damaged``: it reads rows that no event writes, and is held by ``tests/audit``;
- ``plumbline.sqlite_host``: it is how the judge reaches an implementation, and not shipped;
- the constraints of ``plumbline.schema``, as far as a mutant would weaken or drop them: they are a
  second line, which a right implementation never meets. TAB-9 of an audit sees one that is missing,
  and ``tests/conformance`` meets each. A constraint that forbids *more* refuses what events do, so
  these mistakes are made (``plumbline.mutation.tables``).
"""
