"""From a recipe's section to the part it names.

The constructor of a part is its schema: its keyword-only arguments are the keys that a section
may hold, with their types and defaults; what comes before the `*` is wired in by the program.
A registry maps names to parts, or to "module:symbol" where importing the part is expensive.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from affekt.errors import RecipeError, choose, nearest

Registry = Mapping[str, Any]
CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Count = Annotated[int, Field(ge=1)]  # types of options
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """One section of a recipe: the name of a part and its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The section without its name."""
        return dict(self.model_extra or {})


def find(registry: Registry, name: str, what: str) -> Callable[..., Any]:
    """The part called `name`, imported if its registry entry is a 'module:symbol'."""
    entry = choose(registry, name, what)
    if isinstance(entry, str):
        module, _, symbol = entry.partition(":")
        return getattr(import_module(module), symbol)
    return entry


def options(registry: Registry, section: Section, what: str) -> dict[str, Any]:
    """The section's options with defaults filled in, checked against the part's signature.

    Raises:
        RecipeError: unknown part, unknown key, missing key, or a value of the wrong type.
    """
    part = find(registry, section.name, what)
    where = f"{what} '{section.name}'"
    schema = {
        p.name: (p.annotation, ... if p.default is p.empty else p.default)
        for p in inspect.signature(part).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    for key in section.options:
        if key not in schema:
            known = ", ".join(schema) or "it takes no options"
            raise RecipeError(
                f"{where}: key '{key}' is not known; choose from: {known}.{nearest(key, schema)}"
            )
    return check(schema, section.options, where)


def check(schema: Mapping[str, Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` as the types of `schema` ({key: (type, default)}), or a RecipeError."""
    fields: dict[str, Any] = {
        key: (kind, Field(default, alias=key)) for key, (kind, default) in schema.items()
    }
    model = create_model("Options", __config__=CONFIG, **fields)
    try:
        checked = model.model_validate(dict(values))
    except ValidationError as e:
        raise RecipeError(f"{where}: {explain(e, model)}") from None
    return {key: getattr(checked, key) for key in schema}


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """What pydantic found, in one line: key, what is wrong, what was given.

    Args:
        error: of `model`.
        model: of which the keys of tables within tables are told.
    """
    found = []
    for e in error.errors():
        key = ".".join(str(part) for part in e["loc"]) or "recipe"
        if e["type"] == "missing":
            found.append(f"key '{key}' is missing")
        elif e["type"] == "extra_forbidden":
            known = [*_table(model, e["loc"][:-1])]
            there = f"; choose from {', '.join(known)}.{nearest(str(e['loc'][-1]), known)}"
            found.append(f"key '{key}' is not known{there if known else ''}")
        elif e["type"] in ("model_type", "model_attributes_type", "dict_type"):
            first = next(iter(_table(model, e["loc"])), None)
            such = f', such as {{ {first} = "..." }}' if first else ""
            found.append(f"key '{key}': a table{such}, but got {e['input']!r}")
        elif e["type"] == "value_error":  # raised by a validator of ours, which says it all
            found.append(e["msg"].removeprefix("Value error, "))
        else:
            said = e["msg"][:1].lower() + e["msg"][1:]
            found.append(f"key '{key}': {said}, but got {e['input']!r}")
    return "; ".join(dict.fromkeys(found))


def _table(model: type[BaseModel] | None, place: Sequence[int | str]) -> list[str]:
    """The keys of the table at this place of a model; none if there is no such model."""
    for step in place:
        field = model and model.model_fields.get(str(step))
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        model = models[0] if len(models) == 1 else None
    return [*model.model_fields] if model else []


def build(registry: Registry, section: Section, what: str, *wired: Any) -> Any:
    """The part that `section` names, made from the program's `wired` values and its options."""
    return find(registry, section.name, what)(*wired, **options(registry, section, what))
