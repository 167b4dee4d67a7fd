"""Stylising pictures on many machines: one function, from bytes to bytes, and what an existing engine needs around it."""
