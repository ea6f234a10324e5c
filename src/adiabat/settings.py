"""The base of every typed configuration: frozen, unknown keys refused with a suggestion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from adiabat.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Kinds:
    """Metadata of a section's type: the names that its `kind` may be, for templates."""

    names: tuple[str, ...]


class Settings(BaseModel):
    """Base of all configuration objects. A field's docstring is its help text, schema and documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = did_you_mean(str(key), cls.model_fields)
                    raise ValueError(f"'{key}' is not an option of {cls.__name__}.{hint}")
        return data

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Build from plain values; raises ConfigError in one sentence per fault."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = []
            for fault in error.errors():
                place = ".".join(str(part) for part in fault["loc"])
                message = fault["msg"].removeprefix("Value error, ")
                given = "" if fault["type"] == "value_error" else f" (given: {fault.get('input')!r})"
                lines.append(f"{place + ': ' if place else ''}{message}{given}")
            raise ConfigError("; ".join(lines)) from None


def of_kind(kinds: Mapping[str, type[Settings]], what: str, data: Any) -> Settings:
    """The settings that a section's `kind` names, for sections of several kinds; ValueError if it is none of them.

    Args:
        kinds: name to settings.
        what: what they are kinds of, for the error.
        data: the section, or settings made already.
    """
    if isinstance(data, Settings):
        return data
    kind = str(data.get("kind")) if isinstance(data, Mapping) else str(data)
    if kind not in kinds:
        raise ValueError(f"'{kind}' is not a kind of {what}.{did_you_mean(kind, kinds)}")
    return kinds[kind].parse(dict(data))
