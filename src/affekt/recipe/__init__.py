"""Recipes: experiments as TOML files, alone or as the rows of a table."""

from affekt.recipe.recipe import CorpusSection, Recipe
from affekt.recipe.stage import Stage

__all__ = ["CorpusSection", "Recipe", "Stage"]
