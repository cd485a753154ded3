"""Help of every command, as the command itself prints it."""

from __future__ import annotations

from pathlib import Path

import typer.main
from generated import filled, table

from stgraph.cli import app

WIDTH = 80  # what a page shows without scrolling, on a laptop


def help_of(name: str) -> str:
    """What ``stgraph NAME --help`` prints."""
    group = typer.main.get_command(app)
    with group.make_context("stgraph", [], resilient_parsing=True) as parent:
        command = group.commands[name]
        with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
            context.terminal_width = WIDTH
            return command.get_help(context).rstrip()


def write_commands(site: Path) -> None:
    """A page per command and one that lists them."""
    folder = site / "commands"
    folder.mkdir()
    rows = []
    for name, command in typer.main.get_command(app).commands.items():
        first = " ".join(command.help.strip().partition("\n\n")[0].split())
        rows.append((f"[`stgraph {name}`]({name}.md)", first))
        page = f"# stgraph {name}\n\n{first}\n\n```text\n{help_of(name)}\n```\n"
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
    listed = filled("commands", commands=table(("command", "does"), rows))
    (folder / "index.md").write_text(listed, encoding="utf-8")
