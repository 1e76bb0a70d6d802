"""The options that many commands have, and what they amount to."""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from moorage_cli import completing
from moorage_cli.launcher.home import DEFAULT_HOME
from moorage_cli.query import Query, label_conditions
from moorage_cli.results import Output
from moorage_cli.target import target_of

DataDirOption = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="MOORAGE_HOME",
        metavar="DIRECTORY",
        help="Data directory of a mesh on this machine.",
        rich_help_panel="Where the mesh is",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="How to print the result; name: full names alone.")
]

_WHERE = "Where the mesh is"
_WHICH = "Which, and in what order"


def _address_option(service: str) -> Any:  # noqa: ANN401 - what annotates a parameter has no type
    return Annotated[
        str,
        typer.Option(
            f"--{service}",
            envvar=f"MOORAGE_{service.upper()}",
            metavar="HOST:PORT",
            help=f"The {service}.",
            rich_help_panel=_WHERE,
        ),
    ]


_COMMON: Mapping[str, tuple[Any, object]] = {
    "context": (
        Annotated[
            str,
            typer.Option(
                "--context",
                envvar="MOORAGE_CONTEXT",
                metavar="NAME",
                help="A mesh by its name; see moor context.",
                rich_help_panel=_WHERE,
                autocompletion=completing.contexts,
            ),
        ],
        "",
    ),
    "registry": (_address_option("registry"), ""),
    "scheduler": (_address_option("scheduler"), ""),
    "downloader": (_address_option("downloader"), ""),
    "data_dir": (DataDirOption, DEFAULT_HOME),
    "insecure": (
        Annotated[
            bool,
            typer.Option(
                "--insecure",
                envvar="MOORAGE_INSECURE",
                help="Allow plaintext beyond this machine.",
                rich_help_panel=_WHERE,
            ),
        ],
        False,
    ),
    "debug": (DebugOption, False),
}
_QUERY: Mapping[str, tuple[Any, object]] = {
    "filter_": (
        Annotated[
            str,
            typer.Option(
                "--filter",
                metavar="CONDITION",
                help="Only those for which it holds (AIP-160), on the fields of -o json.",
                rich_help_panel=_WHICH,
            ),
        ],
        "",
    ),
    "order_by": (
        Annotated[
            str,
            typer.Option(
                "--order-by",
                metavar="FIELDS",
                help='Fields, each with " desc" or not. By name if not given.',
                rich_help_panel=_WHICH,
            ),
        ],
        "",
    ),
    "limit": (
        Annotated[
            int | None,
            typer.Option("--limit", min=1, metavar="N", help="At most so many.", rich_help_panel=_WHICH),
        ],
        None,
    ),
}
_LABELS: Mapping[str, tuple[Any, object]] = {
    "labels": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--label",
                "-l",
                metavar="KEY=VALUE",
                help="Only those with this label, or KEY!=VALUE without; * is anything.",
                rich_help_panel=_WHICH,
            ),
        ],
        None,
    ),
}

Command = Callable[..., Coroutine[Any, Any, int]]
"""A coroutine whose first parameter is a `MeshTarget`. Its others are what typer makes options of."""


def connected(command: Command) -> Callable[..., None]:
    """Makes a client command of a coroutine: adds the common options, and passes on what they amount to."""
    return _with_options(command, _COMMON)


def listed(*, labels: bool = False, limit: int | None = None) -> Callable[[Command], Callable[..., None]]:
    """Makes a client command that lists: what the options say of the list is the parameter `query`.

    Args:
        labels: Whether what is listed has labels.
        limit: How many are listed unless more are asked for. None: all.
    """
    extra = {**_QUERY, **(_LABELS if labels else {})}
    extra["limit"] = (extra["limit"][0], limit)
    return lambda command: _with_options(command, {**extra, **_COMMON})


def _with_options(command: Command, options: Mapping[str, tuple[Any, object]]) -> Callable[..., None]:
    def run(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - typer passes what annotations say
        said = {name: given.pop(name) for name in options}

        async def body() -> int:
            if "limit" in options:
                given["query"] = _query(said)
            return await command(target_of(ctx, said), **given)

        execute(body, debug=said["debug"])

    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(command).parameters.values())[1:]
        if parameter.name != "query"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *own, *added)}
    run.__signature__ = inspect.Signature([context, *own, *added])  # type: ignore[attr-defined]
    return run


def _query(said: Mapping[str, Any]) -> Query:
    query = Query(filter=said["filter_"], order_by=said["order_by"], limit=said["limit"])
    return query.narrowed(*label_conditions(said.get("labels") or ()))


def execute(command: Callable[[], Coroutine[Any, Any, int]], *, debug: bool) -> None:
    """Runs a command to its end and leaves with its exit code; errors are told, not raised."""
    # What tells errors prints, which `moor --help` need not wait for.
    from moorage_cli.execution import run_command  # noqa: PLC0415

    raise typer.Exit(run_command(command, debug=debug))
