"""Put chapters, schemas, vectors and variant traces inside standard wheels.

An editable install is one static ``.pth`` and reads them from the checkout, so it gets nothing
here.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = "plumbline_spec/data"


class SpecData(BuildHookInterface[Any]):
    """Adds ``spec/*.md`` and the data folders of ``spec/`` below ``plumbline_spec/data``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files, unless the wheel is an editable one."""
        if version != "standard":
            return
        root = Path(self.root)
        include = build_data["force_include"]
        for chapter in sorted((root / "spec").glob("*.md")):
            include[str(chapter)] = f"{DATA}/{chapter.name}"
        for folder in ("schemas", "vectors", "variants"):
            include[str(root / "spec" / folder)] = f"{DATA}/{folder}"
