"""Pure state machines: no I/O, no clock, no randomness, no SQL.

``contract`` says what a machine is; every other public module is a machine of that name, the rules
that a machine shares with the systems it was drawn from, or their history.
"""
