"""``python -m stylekit`` is the program ``stylekit``."""

from stylekit.cli import main

if __name__ == "__main__":
    main()
