"""Proof that training is stable, on problems where success is a number: ``make stability``."""
