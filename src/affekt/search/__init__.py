"""Hyper-parameters of a recipe, chosen on dev sides alone with Optuna's TPE."""

from affekt.errors import optional

optional("optuna", "search")  # nothing here works without it
