"""What options XLA is given."""

import jax


def record(monkeypatch):
    """Return a list to which the options of all that is compiled are added."""
    asked, compile_ = [], jax.stages.Lowered.compile

    def recorded(lowered, compiler_options=None):
        asked.append(compiler_options)
        return compile_(lowered, compiler_options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", recorded)
    return asked
