"""The machines over SQLite, one module each, named as its model, and the command that judges."""

__version__ = "0.1.0"
