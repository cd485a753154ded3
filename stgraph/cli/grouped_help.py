"""Command help with grouped options, the library's defaults, and examples."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from stgraph.cli.method_options import GROUP, library_defaults


class HelpedGroup(TyperGroup):
    """Commands whose help is also shown by ``help [COMMAND]``."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)


class GroupedCommand(TyperCommand):
    """A command whose help lists options by group, method options last, and ends with its examples verbatim."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        given = list(args)
        self._check_values(ctx, given)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if not error.message.startswith("Input should be"):
                raise
            raise _with_value(error, given) from None

    def _check_values(self, ctx: Any, args: list[str]) -> None:
        """Refuse an option's name where the value of the one before it is due, which would be taken for a path."""
        options = [one for one in self.get_params(ctx) if isinstance(one, TyperOption)]
        by_flag = {flag: one for one in options for flag in (*one.opts, *one.secondary_opts)}
        rest = iter(args)
        for text in rest:
            option = by_flag.get(text)
            if text == "--":
                break
            if option is None or option.is_flag or option.count:
                continue
            value = next(rest, "")
            if value in by_flag:
                raise typer.BadParameter(f"it needs a value, but {value} follows", ctx=ctx, param=option)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], GROUP: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                group = "Arguments"
            else:
                group = getattr(parameter, "rich_help_panel", None) or "Options"
            flags, text = record
            default = library_defaults().get(str(parameter.name)) if group == GROUP else None
            if default is not None and "[default:" not in text:
                text = f"{text}  [default: {default}]"
            groups[group].append((flags, text))
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"{' ' * formatter.current_indent}{line}\n")


def _with_value(error: typer.BadParameter, args: list[str]) -> typer.BadParameter:
    """The same error with the given and the expected value, which it lacks by itself."""
    flags = getattr(error.param, "opts", ())
    values = [after for flag, after in pairwise([*args, ""]) if flag in flags]
    values += [text.partition("=")[2] for text in args if text.partition("=")[0] in flags and "=" in text]
    wanted = "an integer" if "integer" in error.message else "a number"
    shown = f"{values[-1]!r} is not {wanted}" if values else f"it is not {wanted}"
    return typer.BadParameter(f"{shown}; give one", ctx=error.ctx, param=error.param)
