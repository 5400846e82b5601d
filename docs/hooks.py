"""What the pages are given when the site is built: reference pages, figures, tables of methods.

A page asks in a comment, which nobody sees who reads the Markdown itself:

    <!-- figures: stills *_patchcore_* -->    rows of benchmarks/results/stills.json
    <!-- cost: patchcore -->                  what it took, by python -m benchmarks.costs
    <!-- methods: one_class -->               the methods of a family, each with its page
    <!-- tags -->                             the tags of tasks/registry/tags.py

A comment that finds nothing stops the build, and so does a page that would load anything from the
network, and a method without a page.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from benchmarks._result import FOLDER
from benchmarks._sources import ROOT
from benchmarks.check_results import is_stale
from benchmarks.figures import BESIDE, section

FAMILIES = ("one_class", "clustering", "density", "adaptation", "pretext")
"""Packages of ``models`` whose files are methods."""
COMMENT = re.compile(r"<!-- (figures|cost|methods|tags)(?:: (.+?))? -->")
ELSEWHERE = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
"""Something that a browser would fetch from another place."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of the code."""
    for family in FAMILIES:
        for name in methods(family):
            if files.get_file_from_path(f"methods/{name}.md") is None:
                raise PluginError(f"models/{family}/{name}.py must have a page: methods/{name}.md.")
    for address, make in GENERATED.items():
        files.append(File.generated(config, address, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put what a page asks for in the place of its comments."""
    makers: Mapping[str, Callable[[str], str]] = {
        "figures": figures,
        "cost": cost,
        "methods": table_of_methods,
        "tags": tags,
    }

    def made(found: re.Match[str]) -> str:
        try:
            return makers[found[1]](found[2] or "")
        except (LookupError, OSError) as error:
            raise PluginError(f"{page.file.src_uri}: {found[0]} finds nothing: {error}") from error

    return COMMENT.sub(made, markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that needs the network."""
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} would load from the network: {found[0]}")
    return output


def figures(wanted: str) -> str:
    """Rows of one result, with its command, commit, date, hardware and whether it is stale.

    Args:
        wanted: Name of the result, and patterns of names of figures.
    """
    name, *patterns = wanted.split()
    result = json.loads((FOLDER / f"{name}.json").read_text())
    ends = tuple(f"_{end}" for end in BESIDE)
    found = {
        key: value
        for key, value in result["metrics"].items()
        if any(fnmatch(key.removesuffix(end), each) for each in patterns for end in ("", *ends))
    }
    if missing := [each for each in patterns if not any(fnmatch(key, each) for key in found)]:
        raise LookupError(f"there is no figure {', '.join(missing)} in {name}.json")
    head, *rest = section(name, {**result, "metrics": found}, is_stale(result)).splitlines()
    return "\n".join([f"**{head.removeprefix('## ')}.**", *rest])


def cost(name: str) -> str:
    """What a detector took, in a sentence."""
    known = json.loads((ROOT / "flows/recipes/costs.json").read_text())
    if name not in known["detectors"]:
        return "Not measured yet by `python -m benchmarks.costs`."
    found, what = known["detectors"][name], known["what"].partition(";")[0]
    told = (
        f"It was stopped after {found['over_s']} s"
        if "over_s" in found
        else f"Fitting took {found['fit_s']} s and scoring {found['score_s']} s"
    )
    return f"{told} {what} (`python -m benchmarks.costs {name}`)."


def methods(family: str) -> list[str]:
    """Names of the methods of a family."""
    paths = sorted((ROOT / "models" / family).glob("[!_]*.py"))
    return [path.stem for path in paths]


def table_of_methods(family: str) -> str:
    """The methods of a family, each with its page and its first line."""
    lines = ["| method | what it is |", "|---|---|"]
    for name in methods(family):
        tree = ast.parse((ROOT / "models" / family / f"{name}.py").read_text())
        what = (ast.get_docstring(tree) or "").splitlines()[0]
        lines.append(f"| [`{name}`]({name}.md) | {what} |")
    return "\n".join(lines)


def tags(_: str) -> str:
    """The tags of ours in MLflow, with what the source says of them."""
    from tasks.registry import tags as known

    nodes = ast.parse((ROOT / "tasks/registry/tags.py").read_text()).body
    lines = ["| tag | what |", "|---|---|"]
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            value: str = getattr(known, ast.unparse(node.target))
            said = after.value if isinstance(after, ast.Expr) else None
            what = str(said.value) if isinstance(said, ast.Constant) else ""
            what = " ".join(what.split()).replace("``", "`")
            lines.append(f"| `{value}{'*' * value.endswith(('.', '_'))}` | {what} |")
    return "\n".join(lines)


def command_line() -> str:
    """Every command of ``unseen`` with its arguments and options, as the program has them."""
    from flows.cli.main import app

    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="unseen")
    lines = ["# Command line", "", root.help or "", "", "| command | what it does |", "|---|---|"]
    sections = []
    for words, command in commands(root, context, ("unseen",)):
        name = " ".join(words)
        first = (command.help or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"| [`{name}`](#{'-'.join(words)}) | {first} |")
        sections.append(get_docs_for_click(obj=command, ctx=context, name=name, indent=1))
    return "\n".join([*lines, "", *sections])


def commands(
    group: Any, context: typer.Context, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands of a group and of the groups in it, with the words that call them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, context, (*words, name))
        else:
            yield (*words, name), command


def http_api() -> str:
    """Every address of the serving process and of the console, from their own OpenAPI."""
    from tasks.console.app import build_console
    from tasks.serving.serve import build_app

    lines = [
        "# HTTP API",
        "",
        "What needs a key takes it as `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`.",
        "A running process describes itself at `/docs`, and for tools at `/openapi.json`.",
        "",
        "## `unseen serve`",
        "",
        *described(build_app("NAME").openapi(), "serve"),
        "## `unseen console`",
        "",
        *described(build_console().openapi(), "console"),
    ]
    return "\n".join(lines)


def described(api: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Addresses and records of one server."""
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            yield from (f"### `{method.upper()} {path}`", "")
            yield from (plain(operation.get("description", operation.get("summary", ""))), "")
            yield from parameters(operation.get("parameters", []), prefix)
            yield from body(operation.get("requestBody", {}).get("content", {}), prefix)
            yield from answers(operation["responses"], prefix)
    for name, schema in api.get("components", {}).get("schemas", {}).items():
        yield from (f"### `{name}` {{ #{prefix}-{name.lower()} }}", "")
        yield from (plain(schema.get("description", "")), "")
        yield from fields(schema, prefix)


def parameters(found: list[Mapping[str, Any]], prefix: str) -> Iterator[str]:
    """A table of what an address takes."""
    if found:
        yield from ("| parameter | in | type | needed | what |", "|---|---|---|---|---|")
    for each in found:
        needed = "yes" if each.get("required") else "no"
        kind = kind_of(each.get("schema", {}), prefix)
        what = plain(each.get("description", ""))
        yield f"| `{each['name']}` | {each['in']} | {kind} | {needed} | {what} |"
    yield ""


def body(content: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """What is sent: kinds that mean the same stand together."""
    kinds: dict[str, list[str]] = {}
    for media, each in content.items():
        kinds.setdefault(json.dumps(each["schema"]), []).append(media)
    for schema, alike in kinds.items():
        shown = ", ".join(f"`{one}`" for one in alike)
        yield from (f"Body ({shown}): {kind_of(json.loads(schema), prefix)}.", "")
        yield from fields(json.loads(schema), prefix)


def answers(responses: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """What is answered; refusals in one line."""
    refused = [status for status in sorted(responses) if status >= "300"]
    for status in sorted(set(responses) - set(refused)):
        for media, each in responses[status].get("content", {}).items():
            yield from (f"{status}, `{media}`: {kind_of(each.get('schema', {}), prefix)}.", "")
    if refused:
        yield from (f"Refusals: {', '.join(refused)}.", "")


def fields(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """A table of the fields of a record."""
    found = schema.get("properties", {})
    if found:
        yield from ("| field | type | needed | what |", "|---|---|---|---|")
    for name, each in found.items():
        needed = "yes" if name in schema.get("required", []) else "no"
        what = plain(each.get("description", ""))
        yield f"| `{name}` | {kind_of(each, prefix)} | {needed} | {what} |"
    yield ""


def kind_of(schema: Mapping[str, Any], prefix: str) -> str:
    """What a value is, in words, with a link to its record."""
    if "$ref" in schema:
        name = schema["$ref"].split("/")[-1]
        return f"[{name}](#{prefix}-{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(kind_of(each, prefix) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}), prefix)}"
    if "const" in schema:
        return f"`{schema['const']}`"
    return str(schema.get("format") or schema.get("type") or "anything")


def plain(text: str) -> str:
    """A docstring in one line of Markdown."""
    return " ".join(text.split()).replace("``", "`").replace("|", r"\|")


GENERATED: Mapping[str, Callable[[], str]] = {
    "reference/command-line.md": command_line,
    "reference/http.md": http_api,
}
"""Pages that are made of the code, by their address."""
