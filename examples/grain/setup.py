"""Compiles the operation into the package if there is a compiler. The installation does not fail without one."""

from setuptools import setup

from stylekit.native import setup_arguments

setup(**setup_arguments("stylekit_grain._grain", ["stylekit_grain/grain.cpp"]))
