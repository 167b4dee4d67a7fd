"""A hostile user as a program: ``python -m tests.fuzz`` tries thousands of odd inputs and judges what happens.

Each kind of input is a module with *attempts*, functions that derive an input from a seed and try it. A case is an attempt
with its own seed, so a kind, a seed and an index reproduce it:

    python -m tests.fuzz --kind pictures --seed 0 --index 17
"""
