"""Count what the package is built of: rooms, floors, arrows between them, circles, lines, lists of parameters.

  python scripts/house.py [FOLDER]     # another checkout's attn_train, say

A room is a folder of the package with code of its own; with the modules at the root they are the nodes. An arrow leads
from a node to another that any of its modules imports, wherever in the module that stands. The floors are those of the
contract in pyproject.toml.
"""

import argparse
import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def modules(package: Path) -> dict[str, Path]:
    """Return the files of a package by the dotted names of their modules."""
    names = {path: path.relative_to(package.parent).with_suffix("").parts for path in package.rglob("*.py")}
    return {".".join(part for part in parts if part != "__init__"): path for path, parts in names.items()}


def imported(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else str(node.module)


def node_of(module: str, known: dict[str, Path]) -> str:
    """Return the room of a module, or the module itself where it stands at the root."""
    if known[module].name == "__init__.py":
        return module
    room = module.rpartition(".")[0]
    return module if "." not in room else room


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's parameters, but for self and cls."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def circles(arrows: dict[str, set[str]]) -> int:
    """Count the circles that have to be cut until none is left."""
    arrows, count = {node: set(others) for node, others in arrows.items()}, 0
    while True:
        try:
            TopologicalSorter(arrows).prepare()
            return count
        except CycleError as error:
            first, second, *_ = error.args[1]
            arrows[second].discard(first)
            count += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "attn_train")
    package: Path = parser.parse_args().folder
    known = modules(package)
    trees = {name: ast.parse(path.read_bytes()) for name, path in known.items()}
    # The package itself only hands on the commands' functions, when they are asked for.
    arrows: dict[str, set[str]] = defaultdict(set)
    between: dict[str, set[str]] = {}
    for name, tree in trees.items():
        others = set(imported(tree, known)) - {name, package.name}
        between[name] = others
        if name != package.name:
            arrows[node_of(name, known)] |= {node_of(other, known) for other in others}
    for node, others in arrows.items():
        others.discard(node)
    functions = [
        (parameters(node), f"{name}.{node.name}")
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    most, longest = max(functions)
    settings = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = settings.get("importlinter", {}).get("contracts", [{"layers": []}])
    root = [name for name, path in known.items() if path.parent == package and path.name != "__init__.py"]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in known.values())
    print(f"{len(known)} modules, {len(root)} at the root, {lines:,} lines")
    print(f"{len(arrows) - len(root)} rooms and {len(root)} modules at the root: {len(arrows)} nodes")
    print(f"{len(contracts[0]['layers'])} floors, {sum(map(len, arrows.values()))} arrows, {circles(arrows)} circles")
    print(f"{circles(between)} circles between modules")
    print(f"{len(functions):,} functions; the most parameters: {most} ({longest})")
    print("more than eight:", ", ".join(sorted(name for count, name in functions if count > 8)) or "none")


if __name__ == "__main__":
    main()
