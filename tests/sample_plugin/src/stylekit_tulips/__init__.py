"""Tulips for stylekit. Each plugin is a module of its own, so that stylekit imports only what is used."""
