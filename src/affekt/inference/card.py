"""The model card: README.md of a model folder, with the metadata that the hub reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from affekt.corpora import READERS, card
from affekt.evaluation.pages import render
from affekt.recipe import Recipe

METRICS = {"UA": "Unweighted accuracy (UAR)", "WA": "Accuracy", "macro-F1": "Macro F1"}
TEMPLATE = "card.md.j2"


def text(config: Mapping[str, Any], recipe: Recipe, protocol: Mapping[str, Any]) -> str:
    """The card.

    Args:
        config: what config.json holds.
        recipe: of the training, as the model folder has it.
        protocol: what protocol.json holds, see affekt.inference.protocol.
    """
    corpora = [_corpus(c) for c in protocol.get("corpora", [])]
    head = yaml.safe_dump(_metadata(protocol, corpora), sort_keys=False, allow_unicode=True)
    page = render(
        TEMPLATE,
        folder=Path(__file__).parent,
        head=head,
        labels=list(config["id2label"].values()),
        temperature=config["affekt"]["temperature"],
        encoder=_encoder(protocol) or recipe.encoder.name,
        trained=protocol.get("encoder", {}).get("trainable") not in (None, "none"),
        corpora=corpora,
        p=protocol,
        metrics=METRICS,
    )
    return page.rstrip() + "\n"


def _encoder(protocol: Mapping[str, Any]) -> str:
    """The checkpoint that the model began with: its name, id, or folder's name."""
    return str(protocol.get("encoder", {}).get("model") or "")


def _corpus(described: Mapping[str, Any]) -> dict[str, Any]:
    """A corpus with its licence, as far as affekt knows it."""
    known = card(described["name"]) if described["name"] in READERS else None
    licence = known.licence if known and known.licence else "not known to affekt"
    title = known.title if known and known.licence else described["name"]
    return {**described, "licence": licence, "title": title}


def _metadata(protocol: Mapping[str, Any], corpora: list[dict[str, Any]]) -> dict[str, Any]:
    languages = sorted({name for c in corpora for name in str(c.get("language", "")).split(", ")})
    base = _encoder(protocol)
    return {
        "library_name": "affekt",
        "pipeline_tag": "audio-classification",
        "language": [name for name in languages if name],
        "tags": ["audio", "speech", "speech-emotion-recognition", "affekt"],
        "datasets": [c["name"] for c in corpora],
        "metrics": ["recall", "accuracy", "f1"],
        **({"base_model": base} if "/" in base and not base.startswith("affekt/") else {}),
        "model-index": [
            {"name": protocol.get("title", "affekt model"), "results": _index(protocol)}
        ],
    }


def _index(protocol: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One result of the hub's model-index: task, data with its protocol, scores."""
    if not protocol.get("scores"):
        return []
    tested = {
        "name": " + ".join(c["name"] for c in protocol["corpora"]),
        "type": "+".join(c["name"] for c in protocol["corpora"]),
        "split": f"{protocol['protocol']['name']}, {protocol['folds']} folds",
    }
    scores = [
        {
            "type": "recall" if name == "UA" else "accuracy" if name == "WA" else "f1",
            "name": f"{said} [95 % interval {score['low']:.3f}, {score['high']:.3f}]",
            "value": round(score["value"], 4),
        }
        for name, said in METRICS.items()
        if (score := protocol["scores"].get(name))
    ]
    task = {"type": "audio-classification", "name": "Speech emotion recognition"}
    return [{"task": task, "dataset": tested, "metrics": scores}]
