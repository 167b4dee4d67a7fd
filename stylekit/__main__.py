"""``python -m stylekit`` runs the command ``stylekit``."""

from stylekit.cli import main

if __name__ == "__main__":
    main()
