"""The verb that prints what a shell needs to complete the others."""

from __future__ import annotations

import click
from click import shell_completion

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_MILLRACE_COMPLETE"  #: by which the shell asks `millrace` itself


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete verbs and options.

    Where MILLRACE_URL is set, names of types, queues and schedules too; a
    Millrace that does not answer at once is not waited for.

    \b
      millrace completion bash >> ~/.bashrc
      millrace completion zsh  >> ~/.zshrc
      millrace completion fish > ~/.config/fish/completions/millrace.fish
    """
    kind = shell_completion.get_completion_class(shell)
    assert kind is not None
    found = kind(ctx.find_root().command, {}, "millrace", VARIABLE)
    # Not source(), which first runs a bash to see how old it is.
    click.echo(found.source_template % found.source_vars())
