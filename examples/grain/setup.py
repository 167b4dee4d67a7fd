"""Compiles the operation into the package where there is a compiler; an install never fails for it."""

from setuptools import setup

from stylekit.native import setup_arguments

setup(**setup_arguments("stylekit_grain._grain", ["stylekit_grain/grain.cpp"]))
