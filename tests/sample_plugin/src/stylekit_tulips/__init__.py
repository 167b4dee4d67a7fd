"""Tulips for stylekit. Each plugin is a module of its own, so that only what is used is imported."""
