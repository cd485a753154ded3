"""Command help with grouped options, the library's defaults, and examples."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from stgraph.cli.method_options import GROUP, library_defaults


class GroupedCommand(TyperCommand):
    """A command whose help lists options by group, the method's last, and ends with its examples verbatim."""

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
