"""Where chapters, schemas, vectors and variant traces are: in a checkout or in a wheel."""

from pathlib import Path


def spec_folder() -> Path:
    """Return the folder of the chapters and of ``schemas``, ``vectors`` and ``variants``."""
    package = Path(__file__).resolve().parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent


def checkout() -> Path | None:
    """Return the root of the checkout that this package is in, or None for an installed wheel."""
    package = Path(__file__).resolve().parent
    root = package.parent.parent
    return None if (package / "data").is_dir() or not (root / "pyproject.toml").is_file() else root
