"""What a module offers is what it says that it offers."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import runtime

PACKAGE = Path(runtime.__file__).parent
MODULES = sorted(
    info.name for info in pkgutil.walk_packages([str(PACKAGE)], "runtime.") if info.name
)


def tree_of(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def defined_publicly(tree: ast.Module) -> set[str]:
    """Classes, functions and constants of a module's own, without underscore."""
    names: set[str] = set()
    for node in tree.body:
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
            ):
                names.add(name)
            case ast.Assign(targets=targets):
                for target in targets:
                    names |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def type_variables(tree: ast.Module) -> set[str]:
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "TypeVar"
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def sort_key(name: str) -> tuple[int, str]:
    """As ruff sorts ``__all__``: constants, classes, then the rest."""
    if name.isupper():
        return (0, name)
    return (1, name) if name[0].isupper() else (2, name)


def test_the_runtime_exports_exactly_its_public_names() -> None:
    imported = {
        alias.asname or alias.name
        for node in tree_of(runtime).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(runtime.__all__) == imported
    modules = {name.removeprefix("runtime.").partition(".")[0] for name in MODULES}
    visible = {name for name in vars(runtime) if not name.startswith("_")}
    # ``check`` is both a module and the function that it is known for.
    assert visible - modules == set(runtime.__all__) - modules
    assert callable(runtime.check)


def test_the_runtime_sorts_its_names() -> None:
    assert runtime.__all__ == sorted(set(runtime.__all__), key=sort_key)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_what_it_defines(name: str) -> None:
    module = importlib.import_module(name)
    tree = tree_of(module)
    offered: list[str] = module.__all__
    assert len(offered) == len(set(offered)), "a name stands twice"
    assert offered == sorted(offered, key=sort_key)
    for each in offered:
        assert hasattr(module, each)
    if module.__file__ is not None and module.__file__.endswith("__init__.py"):
        return
    own = defined_publicly(tree)
    assert set(offered) <= own, "a module offers its own names only"
    # Exceptions: names that other modules of the runtime use and nobody else should.
    inside = own - set(offered) - type_variables(tree)
    assert inside == INTERNAL.get(name, set())


INTERNAL: dict[str, set[str]] = {
    "runtime.actor": {"READING_BITS", "NoSettings"},
    "runtime.cli": {"OK", "FAILED", "UNUSABLE"},
    "runtime.graph.layout": {
        "BOX_HEAD", "CARD_HEAD", "CARD_WIDTH", "LABEL_HEIGHT", "LINE", "Point",
    },
    "runtime.message": {"PLACE_PATTERN"},
    "runtime.supervisor": {"describe_crash"},
}  # fmt: skip


@pytest.mark.parametrize("name", ["runtime", *MODULES])
def test_a_module_says_what_it_is_for(name: str) -> None:
    text = importlib.import_module(name).__doc__
    assert text
    assert text.split("\n")[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize("name", MODULES)
def test_a_file_stays_readable(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    lines = Path(module.__file__).read_text(encoding="utf-8").count("\n")
    assert lines <= 520, "one noun a file: split it"
