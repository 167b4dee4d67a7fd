"""What ``stylekit new`` writes: whole modules for a package ``my-style``, one a kind, and the files around them."""
