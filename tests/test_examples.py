"""Every example of a docstring runs, and whatever is public has one."""

import doctest
import importlib
import pkgutil

import pytest

import twomode

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(twomode.__path__, "twomode.")
    if "compiled" not in module.name
)


@pytest.mark.parametrize("name", ["twomode", *MODULES])
def test_examples_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
