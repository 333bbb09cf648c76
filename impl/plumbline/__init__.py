"""The machines over SQLite: one module a machine, named as in ``plumbline_models``, and the command that judges them."""

__version__ = "0.1.0"
