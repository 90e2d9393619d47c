"""Reference page of all commands, arguments and options, from the command line."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from markdown_text import code, table

from failmodes.cli import COMMANDS, app

INTRODUCTION = """# Commands

`failmodes COMMAND --help` prints the same in a terminal. A study file called `study.toml` is the default. See also
[exit codes](exit-codes.md).
"""
OF_PYTHON = {str: "text", int: "whole number", float: "number", Path: "path"}


def commands_page() -> str:
    """Return Markdown with one heading per command, in the order of the help."""
    commands: Any = typer.main.get_command(app)
    parts = [INTRODUCTION, table(("command", "does"), _overview(commands.commands))]
    for part, names in COMMANDS.items():
        parts.append(f"## {part}\n")
        parts += [_described(name, commands.commands[name]) for name in names]
    return "\n".join(parts)


def _overview(commands: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"[`{name}`](#{name})", _help(command).split("\n")[0]) for name, command in commands.items()]


def _described(name: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not parameter.hidden]
    arguments = [each for each in shown if not each.opts[0].startswith("-")]
    options = [each for each in shown if each.opts[0].startswith("-")]
    usage = " ".join(["failmodes", name, *(_argument(each) for each in arguments), "[OPTIONS]" if options else ""])
    lines = [f"### {name}\n", f"```\n{usage.strip()}\n```\n", f"{_help(command)}\n"]
    if arguments:
        rows = [(code(_name(each)), _value(each), each.help or "") for each in arguments]
        lines.append(table(("argument", "value", "meaning"), rows))
    if options:
        rows = [(", ".join(map(code, _spellings(each))), _value(each), _meaning(each)) for each in options]
        lines.append(table(("option", "value", "meaning"), rows))
    return "\n".join(lines)


def _help(command: Any) -> str:
    """Return the help of a command, one paragraph per line, examples as code."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")]
    return "\n\n".join(f"```\n{each}\n```" if each.startswith("failmodes ") else each for each in paragraphs if each)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _argument(argument: Any) -> str:
    name = _name(argument) + ("..." if argument.nargs == -1 or argument.multiple else "")
    return name if argument.required else f"[{name}]"


def _spellings(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _meaning(option: Any) -> str:
    default = option.default
    if option.required:
        return f"{option.help} Required."
    if option.is_flag or default in (None, (), [], "") or callable(default):
        return option.help or ""
    return f"{(option.help or '').rstrip('.')}. Default: `{default}`."


def _value(parameter: Any) -> str:
    """Describe the accepted values in words."""
    annotation = parameter.type_descriptor.annotation
    if getattr(parameter, "is_flag", False) or annotation is bool:
        return ""
    choices = get_args(annotation) if get_origin(annotation) is Literal else (parameter.metavar or "").split("|")
    if len(choices) > 1:
        return " or ".join(map(code, choices))
    if get_origin(annotation) is list:
        annotation = get_args(annotation)[0]
    words = OF_PYTHON.get(annotation, "text")
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    bounds = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
    return ", ".join([words, *bounds])
