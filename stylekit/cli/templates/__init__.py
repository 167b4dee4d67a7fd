"""Templates of ``stylekit new``: for a package ``my-style``, one module per kind of part, and the files around it."""
