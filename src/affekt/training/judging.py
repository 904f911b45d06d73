"""What a trained recogniser says of utterances."""

import numpy as np
import torch

from affekt.batches import Ahead, UtteranceDataset
from affekt.nn.recogniser import Recogniser
from affekt.types import GENDERS, Prediction, Utterance


@torch.inference_mode()
def judge(
    model: Recogniser, test: UtteranceDataset, batches: Ahead, *, fold: str, seed: int
) -> tuple[list[Prediction], np.ndarray]:
    """Predictions for the test side and the embeddings (N, E) under them, in its order."""
    model.eval()
    device = next(model.parameters()).device
    probabilities: dict[str, list[float]] = {}
    embeddings: dict[str, np.ndarray] = {}
    genders: dict[str, str] = {}
    for batch in batches:
        output = model(batch.to(device).inputs)
        rows = output.logits.double().softmax(dim=1).tolist()
        probabilities |= dict(zip(batch.keys, rows, strict=True))
        if output.gender is not None:
            said = output.gender.cosines.argmax(dim=1).tolist()
            genders |= {key: GENDERS[n] for key, n in zip(batch.keys, said, strict=True)}
        embeddings |= dict(zip(batch.keys, output.embedding.cpu().numpy(), strict=True))
    predictions = [
        _prediction(
            u,
            dict(zip(test.classes, probabilities[u.key], strict=True)),
            fold=fold,
            seed=seed,
            gender=genders.get(u.key),
        )
        for u in test.utterances
    ]
    return predictions, np.stack([embeddings[u.key] for u in test.utterances])


def _prediction(
    u: Utterance, probabilities: dict[str, float], *, fold: str, seed: int, gender: str | None
) -> Prediction:
    return Prediction(
        id=u.id,
        corpus=u.corpus,
        fold=fold,
        seed=seed,
        speaker=u.talker,
        gender=u.gender,
        language=u.language,
        truth=u.emotion,
        label=max(probabilities, key=lambda name: probabilities[name]),
        probabilities=probabilities,
        gender_label=gender,
    )
