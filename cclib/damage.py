"""Recorded traces that are not whole: finding them, and setting aside what is damaged."""

from __future__ import annotations

from pathlib import Path

from cclib.traces import read_part, read_provenance


def damaged_parts(store: str | Path, repair: bool = False) -> dict[Path, str]:
    """The damaged parts of a store (or of one model's folder) and what is wrong with each.

    Args:
        repair: rename them to "....damaged", so that the next recording answers their questions anew.
    """
    if not Path(store).is_dir():
        raise FileNotFoundError(f"no store of traces at {store}; give the folder that holds the traces")
    found = {}
    parts = sorted(Path(store).rglob("part-*.parquet"))
    for path in parts:
        try:
            read_part(path)
        except ValueError as error:
            found[path] = str(error)
    for folder in sorted({path.parent for path in parts}):
        try:
            read_provenance(folder)
        except ValueError as error:
            found |= dict.fromkeys(
                [*sorted(folder.glob("provenance.json")), *folder.glob("part-*.parquet")], str(error)
            )
    for path in found if repair else ():
        path.rename(path.with_suffix(".damaged"))
    return found
