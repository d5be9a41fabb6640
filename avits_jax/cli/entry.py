"""Entry point: choose the subcommand, run it, turn errors into exit statuses."""

import gc
import importlib
import io
import logging
import os
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from avits_jax.catalogue.generators import FAMILIES, Family
from avits_jax.cli import background, commands
from avits_jax.cli.errors import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    CliError,
    check_known,
    printable,
)
from avits_jax.cli.wrapping import entry, message, terminal_width, wrapped
from avits_jax.version import __version__

_USAGE = """\
usage: avits COMMAND [OPTIONS]

{purpose}

commands:
{commands}

options:
{options}

example:
  avits generate "a red circle bounces three times with a bell" --out runs/first

{statuses}"""
_PURPOSE = "Search over candidates of an audio-video generator with several verifiers."
_OPTIONS = {
    "-h, --help": "Show this help, or that of a command (avits generate --help).",
    "--version": "Show the version.",
}
_STATUSES = (
    "exit status: 0 done; 1 the work failed; 2 bad input; 3 some prompts of a run, or "
    "some clips, failed; 130 interrupted"
)
_PLACE = 15  # column at which summaries begin
_FEW_COLLECTIONS = 100_000  # objects made between two of them


def main(
    argv: Sequence[str] | None = None, *, families: Sequence[Family] = FAMILIES
) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; None takes ``sys.argv``.
        families: the table of generators that its models are looked up in.

    Returns:
        Exit status: 0 done, 1 the work failed, 2 bad input, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name may be no text in the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Imports and traces make many objects that stay; to look through them for garbage
    # takes a twentieth of a short command's time.
    gc.set_threshold(_FEW_COLLECTIONS)
    # It logs whole tracebacks of what is said here in one line.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    try:
        return _dispatch(arguments, families)
    except CliError as error:
        return _fail(str(error), error.status)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", FAILED)
    except KeyboardInterrupt as stop:
        status = _fail(str(stop) or "interrupted; nothing was written", INTERRUPTED)
        if background.busy():
            # A compilation cannot be stopped, and the interpreter would wait for it.
            os._exit(status)
        return status


def _fail(reason: str, status: int) -> int:
    sys.stdout.flush()
    said = f"avits: error: {printable(reason)}"
    print(message(said, sys.stderr.isatty()), file=sys.stderr, flush=True)
    return status


def _dispatch(arguments: list[str], families: Sequence[Family]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else BAD_INPUT
    if arguments[0] == "--version":
        print(f"avits_jax {__version__}")
        return 0
    name, *rest = arguments
    check_known("command", name, command_names())
    # Tyro is not needed to name the commands.
    from avits_jax.cli.help import asks_for_help, print_help
    from avits_jax.cli.parsing import parse

    command, prog = _command(name), f"avits {name}"
    if asks_for_help(rest):
        # Notes take seconds to put together.
        notes = command.notes(families) if hasattr(command, "notes") else ""
        print_help(command.Options, prog, command.EXAMPLE, notes)
        return 0
    return command.run(parse(command.Options, prog, rest), families)


def command_names() -> list[str]:
    """Return the names of all subcommands, one per module of ``commands``."""
    return [module.name for module in pkgutil.iter_modules(commands.__path__)]


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"{commands.__name__}.{name}")


def _usage() -> str:
    width = terminal_width()
    commands = {name: _summary(name) for name in command_names()}
    return _USAGE.format(
        purpose=wrapped(_PURPOSE, width),
        commands=_entries(commands, width),
        options=_entries(_OPTIONS, width),
        statuses=wrapped(_STATUSES, width),
    )


def _entries(texts: Mapping[str, str], width: int) -> str:
    return "\n".join(
        entry(f"  {name}", text, _PLACE, width) for name, text in texts.items()
    )


def _summary(name: str) -> str:
    return (_command(name).__doc__ or "").splitlines()[0]
