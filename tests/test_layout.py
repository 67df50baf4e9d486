"""The rooms of `cclib` (CONTRIBUTING.md): who may import whom, and no circles."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "cclib"
ROOMS = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
GROUND, DATA = {"names", "prompts", "stats"}, {"questions", "traces", "prices", "logs"}
METHOD = {p.stem for p in ROOT.glob("*.py")} - GROUND - DATA - {"__main__"} | {
    "atlas",
    "benchmarks",
    "confidence",
    "models",
    "policies",
    "recording",
}
BELOW = METHOD | DATA | GROUND
MAY = dict.fromkeys(GROUND, set()) | dict.fromkeys(DATA, GROUND) | dict.fromkeys(METHOD, BELOW)
MAY["traces"] = GROUND | {"logs"}
MAY |= {"models": DATA | GROUND, "confidence": {"models"} | DATA | GROUND}
MAY |= {"atlas": {"models"} | DATA | GROUND, "experiments": BELOW}
MAY |= dict.fromkeys(["paper", "display"], BELOW | {"experiments"})
MODULES = {".".join(p.relative_to(ROOT.parent).with_suffix("").parts): p for p in ROOT.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}


@cache
def imported(name: str) -> set[str]:
    """The package's modules that a module imports, inside its functions too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.ImportFrom):
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {one if one in MODULES else node.module for one in deeper}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys() - {name}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


@pytest.mark.parametrize("name", [m for m in MODULES if room(m) not in ("book", "__main__")])
def test_a_module_imports_only_from_rooms_below_its_own(name):
    rooms = {room(other) for other in imported(name)} - {room(name)}
    assert rooms <= MAY[room(name)], f"{name} may not import from {sorted(rooms - MAY[room(name)])}"


def levels(imports: dict[str, set[str]]) -> dict[str, int]:
    """How many imports lie under each; a circle is an error."""
    found: dict[str, int] = {}
    while len(found) < len(imports):
        free = [m for m in imports if m not in found and imports[m] <= found.keys()]
        ready = {m: 1 + max((found[i] for i in imports[m]), default=0) for m in free}
        assert ready, f"a circle among {sorted(imports.keys() - found.keys())}"
        found |= ready
    return found


def test_no_module_imports_itself_by_way_of_others_and_rooms_are_few_levels():
    levels({name: imported(name) for name in MODULES})
    rooms = {room(name): set() for name in MODULES}
    for name in MODULES:
        rooms[room(name)] |= {room(other) for other in imported(name)} - {room(name)}
    assert max(levels(rooms).values()) <= 12


def test_the_package_is_small_enough_to_see_through():
    assert len([p for p in ROOT.iterdir() if p.name != "__pycache__"]) <= 25
