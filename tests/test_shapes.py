"""The shapes that public functions declare are checked while testing."""

import inspect
import pkgutil
from importlib import import_module

import jaxtyping
import pytest
import torch

import freqreg
from freqreg import GradAlign, JaFR, PixelSpace, log_low_frequency_bias, magnitude_spectrum


def test_wrong_shapes_are_refused() -> None:
    images, spectrum = torch.rand(2, 3, 8, 8), torch.rand(5, 5)
    for call in (
        lambda: magnitude_spectrum(images[0]),
        lambda: log_low_frequency_bias(images),
        lambda: log_low_frequency_bias(spectrum.long()),
        lambda: JaFR().penalty([images[0]]),
        lambda: GradAlign().points(images[0], PixelSpace()),
    ):
        with pytest.raises(jaxtyping.TypeCheckError):
            call()


MODULES = [
    module.name
    for module in pkgutil.walk_packages(freqreg.__path__, "freqreg.")
    if module.name != "freqreg.__main__"
]


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_are_annotated_and_described(module: str) -> None:
    loaded = import_module(module)
    for name, item in list(vars(loaded).items()):
        public = not name.startswith("_") and getattr(item, "__module__", "") == module
        if not public or not callable(item) or not hasattr(item, "__doc__"):
            continue
        assert item.__doc__, f"{module}.{name} has no docstring"
        if inspect.isfunction(item):
            signature = inspect.signature(item)
            annotations = [p.annotation for p in signature.parameters.values()]
            annotations.append(signature.return_annotation)
            assert inspect.Parameter.empty not in annotations, f"{module}.{name}"
