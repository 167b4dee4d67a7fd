"""Tries thousands of damaged, odd and hostile inputs, and checks what happens: ``python -m tests.fuzz``.

Each kind of input is a module with *attempts*, functions that derive an input from a seed and try it. A case is an attempt
with its own seed, so a kind, a seed and an index reproduce it:

    python -m tests.fuzz --kind pictures --seed 0 --index 17
"""
