"""A recipe over a small spectral encoder that runs in a second, and one with a classifier."""

from affekt.recipe import Recipe

EMODB = {
    "title": "toy",
    "corpus": {"name": "emodb", "labels": "4-class"},
    "protocol": {"name": "leave-one-speaker-out", "dev": "next-speaker"},
    "encoder": {"name": "log-mel", "bands": 8},
    "pooling": {"name": "attentive-correlation", "dim": 4, "heads": 2},
    "stage": [{"epochs": 2}],
}
FOREST = {
    "encoder": {"name": "opensmile", "features": "eGeMAPSv02"},
    "classifier": {"name": "random-forest", "trees": 5},
    "pooling": None,
    "stage": [],
}


def recipe(**changes) -> Recipe:
    return Recipe.parse({k: v for k, v in (EMODB | changes).items() if v is not None})
