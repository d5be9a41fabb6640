"""The command line: parse, load, compile, run, write.

``entry`` dispatches to the modules of ``commands/``: a new subcommand is a new file
there, with ``Options`` (a dataclass of flags), ``EXAMPLE`` and ``run(options, families)
-> int``; ``families`` is the table of generators. ``notes(families) -> str``, if it is
there, goes into the command's help.
"""

from avits_jax.cli.entry import main

__all__ = ["main"]
