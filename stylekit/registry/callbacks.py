"""Passing a run's events to the plugins that follow it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.registry import lookup
from stylekit.registry.loading import load_hooks


class Callbacks:
    """Calls run hooks. A plugin whose hook fails is left out from then on, with one warning: a log never stops a run.

    Only before it starts may a plugin stop it, by a StylekitError that says what is missing.

    Args:
        names: names of plugins, or ``.py`` files

    Raises:
        StylekitError: there is no such plugin, or it cannot be imported.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._followers = {name: load_hooks(lookup.find_plugin(name)) for name in names}

    def call(self, event: str, **facts: Any) -> None:
        """Calls the hook ``stylekit_EVENT`` of each plugin.

        Raises:
            StylekitError: a plugin cannot follow the run that starts.
        """
        starting = event == "run_started"
        for name, follower in list(self._followers.items()):
            try:
                returned = getattr(follower.hook, f"stylekit_{event}")(**facts)
                for helper in returned if starting else ():
                    follower.register(helper)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # such as SystemExit
                if starting and isinstance(error, StylekitError):
                    raise
                warn(f"plugin {name!r} failed in stylekit_{event} and no longer follows the run: {error!r}")
                del self._followers[name]
