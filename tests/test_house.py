"""The house rules that no linter knows, over every file that git tracks or would track.

Sizes, docstrings, `__all__`, the glossary's banned words, who may import the engine, what must not be committed,
and that the table of end-to-end tests is true. Sizes of Rust functions and complexity are clippy's and
ruff's. Every rule lists all that breaks it.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SOURCES = ("auth", "sfu", "signaling", "plenum")
MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 100

_WORDS = "Manager|Helper|Utils?|Handler|Impl|Info|Proxy|Wrapper"
BANNED = re.compile(rf"({_WORDS})(?![a-z])|(?<![A-Za-z])Process(?:[A-Z]|$)")
BANNED_SNAKE = re.compile(rf"(?:^|_)({_WORDS.lower()})(?:_|$)|^_?do_|^_?process(?:_|$)")
# `Info` is the wire's word, and a logger's `info` is its own.
WIRE = "signaling/wire/"
ALLOWED_NAMES = {"info"}
BROAD_EXCEPT = {"sfu/control/actor.py", "signaling/http/app.py", "signaling/webhooks.py"}
ENGINE_IMPORTER = "sfu/control/engine_client.py"

RUST_ITEM = re.compile(
    r"^\s*(?:pub(?:\([a-z]+\))? )?(?:const |async |unsafe )*(fn|struct|enum|trait|type|mod) (\w+)", re.MULTILINE
)
# Rows of the protocol's checklist that the end-to-end tests show.
CHECKLIST = (
    "HTT01 HTT03-14 JOI01-08 JOI10-17 SDP01-13 PUB01-13 VID01-18 AUD01-07 ADA01-12 SUB01-08 "
    "DAT01-21 ROO01-06 PAR01-08 PAR10-11 REC01-10 REC12-13 API01-05 TOK01-04 OPS01 OPS07-09"
)
TEST_TABLE = "tests/e2e/README.md"
TABLE_ROW = re.compile(r"^\| ([A-Z]{3}\d\d) \|.*$", re.MULTILINE)
TEST_NAME = re.compile(r"`([\w/]+\.py)::(\w+)`")
PERSONAL = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w")
FUZZ_INPUTS = "sfu/engine/fuzz/regressions/"  # any bytes
TEXT_SUFFIXES = {
    *(".py", ".pyi", ".rs", ".toml", ".lock", ".md", ".yaml", ".yml", ".json"),
    *(".ts", ".tsx", ".css", ".html", ".mjs"),
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@functools.cache
def tracked() -> tuple[str, ...]:
    """Names of all files of the project, committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@functools.cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text()


@functools.cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(text_of(name))


def files(*suffixes: str) -> list[str]:
    return [name for name in tracked() if name.endswith(suffixes)]


def python() -> list[str]:
    return files(".py")


def modules() -> list[str]:
    """Python that is shipped."""
    engine = "sfu/engine/"
    return [name for name in python() if name.split("/")[0] in SOURCES and not name.startswith(engine)]


def suite() -> list[str]:
    return [name for name in python() if name.startswith("tests/")]


def definitions(tree: ast.AST) -> Iterator[Definition]:
    return (node for node in ast.walk(tree) if isinstance(node, Definition))


def public_definitions(tree: ast.Module) -> Iterator[Definition]:
    """Public functions and classes of a module, and public methods of public classes."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
                yield from (method for method in methods if not method.name.startswith("_"))


def test_files_are_short() -> None:
    code = files(".py", ".pyi", ".rs", ".ts", ".tsx", ".mjs")
    lengths = {name: len(text_of(name).splitlines()) for name in code}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name in python()
        for node in definitions(tree_of(name))
        if not isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_modules_say_what_they_own() -> None:
    silent = [name for name in python() if text_of(name).strip() and not ast.get_docstring(tree_of(name))]
    silent += [
        name for name in files(".rs") if text_of(name).strip() and not text_of(name).lstrip().startswith(("//!", "#!["))
    ]
    assert silent == []


def test_public_things_are_documented() -> None:
    silent = [
        f"{name}:{node.lineno} {node.name}"
        for name in modules()
        for node in public_definitions(tree_of(name))
        if not ast.get_docstring(node)
    ]
    assert silent == []


def pinned_names(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            value: list[str] = ast.literal_eval(node.value)
            return value
    return None


def test_modules_pin_their_public_names() -> None:
    open_ended: list[str] = []
    for name in modules():
        tree = tree_of(name)
        # A package without code has nothing to pin.
        if len(tree.body) > 1 and not pinned_names(tree):
            open_ended.append(name)
    assert open_ended == []


def test_pinned_names_are_all_that_is_public() -> None:
    forgotten = [
        f"{name}:{node.lineno} {node.name}"
        for name in modules()
        for node in tree_of(name).body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not name.startswith("sfu/config/")  # sections are reached through their parents
        and node.name not in (pinned_names(tree_of(name)) or ())
    ]
    assert forgotten == []


def test_names_are_the_glossarys() -> None:
    banned: list[str] = []
    for name in python():
        for node in definitions(tree_of(name)):
            pattern = BANNED if isinstance(node, ast.ClassDef) else BANNED_SNAKE
            if pattern.search(node.name) and not is_allowed(name, node.name):
                banned.append(f"{name}:{node.lineno} {node.name}")
    for name in files(".rs"):
        for kind, item in RUST_ITEM.findall(text_of(name)):
            pattern = BANNED_SNAKE if kind in {"fn", "mod"} else BANNED
            if pattern.search(item) and item not in ALLOWED_NAMES:
                banned.append(f"{name} {kind} {item}")
    assert banned == []


def is_allowed(file: str, name: str) -> bool:
    return file.startswith(WIRE) or name in ALLOWED_NAMES or name.startswith("test_")


def test_only_one_module_imports_the_engine() -> None:
    importers = [name for name in modules() if name != ENGINE_IMPORTER and imports_engine(tree_of(name))]
    assert importers == []


def imports_engine(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.module == "sfu._engine" or (node.module == "sfu" and any(a.name == "_engine" for a in node.names)):
                return True
        elif isinstance(node, ast.Import) and any(alias.name == "sfu._engine" for alias in node.names):
            return True
    return False


def test_broad_excepts_stand_at_the_edges_only() -> None:
    broad = [
        f"{name}:{node.lineno}"
        for name in modules()
        if name not in BROAD_EXCEPT
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    ]
    assert broad == []


def is_broad(node: ast.ExceptHandler) -> bool:
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})


def test_no_test_is_skipped() -> None:
    """But for those that are about our own server, when somebody else's is under test."""
    skipped = [
        f"{name}:{number} {line.strip()}"
        for name in suite()
        for number, line in enumerate(text_of(name).splitlines(), 1)
        if re.search(r"\.(skip|skipif|importorskip)\(", line) and "skipif(not OWN," not in line
    ]
    assert [line for line in skipped if not line.startswith("tests/test_house.py")] == []


def test_no_test_waits_for_the_clock() -> None:
    """e2e waits for events with a deadline; sim sleeps in virtual time."""
    waits = [
        f"{name}:{node.lineno}"
        for name in suite()
        if name.startswith(("tests/unit/", "tests/binding/"))
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep"
        if not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
    assert waits == []


def checklist_rows() -> list[str]:
    """`HTT03-05` is HTT03, HTT04, HTT05."""
    rows: list[str] = []
    for span in CHECKLIST.split():
        first, _, last = span[3:].partition("-")
        rows += [f"{span[:3]}{number:02}" for number in range(int(first), int(last or first) + 1)]
    return rows


def functions_of(name: str) -> set[str]:
    """Names of a module's own functions, none for a module that is not there."""
    body = tree_of(name).body if name in tracked() else []
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_table_of_end_to_end_tests_is_true() -> None:
    """Each row of the checklist once and with a test; each test named is there (a bare file is beside the table)."""
    text = text_of(TEST_TABLE)
    assert TABLE_ROW.findall(text) == checklist_rows()
    assert [row[0] for row in TABLE_ROW.finditer(text) if not TEST_NAME.search(row[0])] == []
    named = {(file if "/" in file else f"tests/e2e/{file}", test) for file, test in TEST_NAME.findall(text)}
    assert sorted(f"{file}::{test}" for file, test in named if test not in functions_of(file)) == []


def test_no_path_of_a_machine_is_committed() -> None:
    plain = [name for name in tracked() if Path(name).suffix in TEXT_SUFFIXES or "." not in Path(name).name]
    plain = [name for name in plain if not name.startswith(FUZZ_INPUTS)]
    found = [
        f"{name}:{number} {line.strip()[:80]}"
        for name in plain
        for number, line in enumerate(text_of(name).splitlines(), 1)
        if PERSONAL.search(line)
    ]
    assert found == []


def test_locked_packages_name_no_index() -> None:
    locks = [name for name in files(".lock") if name.startswith("requirements/")]
    assert locks
    for name in locks:
        assert "://" not in text_of(name), name
        for requirement in re.split(r"\n(?=\S)", text_of(name).strip()):
            assert "==" in requirement, name
            assert "--hash=sha256:" in requirement, name


def test_locked_node_packages_name_no_registry() -> None:
    locks = files("package-lock.json")
    assert locks
    assert [name for name in locks if '"resolved": "http' in text_of(name)] == []
