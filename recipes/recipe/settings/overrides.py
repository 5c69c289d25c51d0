"""Settings by name, from a command line."""

from collections.abc import Callable, Iterable
from dataclasses import make_dataclass, replace
from typing import TypeVar, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from recipe.settings.experiment import Settings, Source, Sourced

T = TypeVar("T")
CONFIG = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
AS_JSON = {"true": "True", "false": "False", "null": "None"}

registry = ConstructorRegistry()


@registry.primitive_rule
def _sourced(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Mark given values as the command line's; show the others with their source."""
    if get_origin(info.type) is not Sourced:
        return None
    (kind,) = get_args(info.type)
    bare = registry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
    assert isinstance(bare, PrimitiveConstructorSpec)
    return replace(
        bare,
        instance_from_str=lambda given: Source.COMMAND_LINE(bare.instance_from_str(given)),
        is_instance=lambda value: isinstance(value, Sourced),
        str_from_instance=lambda value: [str(value)],
    )


def parsed(
    kind: type[T], defaults: Callable[[T], Settings], description: str | None
) -> tuple[T, Settings]:
    """Parse a program's own options, and the settings that they choose, with the given changes."""
    own, _ = tyro.cli(kind, return_unknown_args=True, add_help=False, config=CONFIG)
    both = make_dataclass("Both", [("run", kind), ("settings", Settings, defaults(own))])
    found = tyro.cli(both, description=description, config=CONFIG, registry=registry)
    return found.run, found.settings


def overridden(settings: Settings, given: Iterable[str]) -> Settings:
    """Change settings by texts such as "lambda_freq=0.01" or "optimizer=adam"."""
    parts = [text.partition("=") for text in given]
    options = [f"--{name}{equals}{AS_JSON.get(value, value)}" for name, equals, value in parts]
    return tyro.cli(Settings, default=settings, args=options, config=CONFIG, registry=registry)


def suffix(given: Iterable[str]) -> str:
    """Suffix of a folder's name, so that runs with other settings have other folders."""
    return "".join(f"-{text.replace('/', '_')}" for text in given)
