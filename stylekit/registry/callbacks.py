"""Passing the events of a run to plugins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.registry import lookup
from stylekit.registry.loading import load_hooks

HOOKS = ("stylekit_run_started", "stylekit_step_finished", "stylekit_checkpoint_saved", "stylekit_run_finished")
"""The hooks that follow a run."""


class Callbacks:
    """Calls run hooks. A plugin whose hook fails is dropped with one warning, because logging must not stop a run.

    A plugin can stop a run only when it starts, by raising a StylekitError that says what is missing.

    Args:
        names: names of plugins, or ``.py`` files

    Raises:
        StylekitError: a plugin does not exist, cannot be imported, or does not follow runs.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._plugins = {name: load_hooks(lookup.find_plugin(name)) for name in names}
        for name, loaded in self._plugins.items():
            if not any(getattr(loaded.hook, hook).get_hookimpls() for hook in HOOKS):
                raise StylekitError(
                    f"The plugin {name!r} does not follow runs: it has none of the hooks {', '.join(HOOKS)}. Give --log a "
                    "logger, such as tensorboard."
                )

    def call(self, event: str, **facts: Any) -> None:
        """Calls the hook ``stylekit_EVENT`` of each plugin.

        Raises:
            StylekitError: the run starts, and a plugin cannot be used for it.
        """
        starting = event == "run_started"
        for name, hooks in list(self._plugins.items()):
            try:
                returned = getattr(hooks.hook, f"stylekit_{event}")(**facts)
                for helper in returned if starting else ():
                    hooks.register(helper)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # such as SystemExit
                if starting and isinstance(error, StylekitError):
                    raise
                warn(f"The plugin {name!r} failed in stylekit_{event} and is not called again in this run: {error!r}")
                del self._plugins[name]
