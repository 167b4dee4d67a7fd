"""The plugins that ship with stylekit. They are registered through entry points, like any other plugin."""
