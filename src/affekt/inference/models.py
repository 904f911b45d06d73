"""Which kind of model a name stands for. Heavy imports wait until they are needed."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from affekt import disk
from affekt.errors import ModelError, nearest
from affekt.inference.predictor import Predictor

Precision = Literal["fp32", "bf16"]
OWN = "affekt/"  # how the names of those that come with affekt begin
HERE = Path(__file__).parent.parent / "models"
CONFIG = "config.json"


def load(model: str, revision: str | None = None, precision: Precision = "fp32") -> Predictor:
    """The predictor of a folder, an id on the hub, or a name; see Predictor.load.

    Raises:
        ModelError: there is no model, or it is not whole.
    """
    return replace(_of_folder(locate(model, revision), precision), name=model)


def _of_folder(folder: Path, precision: Precision) -> Predictor:
    if (folder / CONFIG).is_file():
        kind = disk.read_json(folder / CONFIG, ModelError).get("model_type")
        if kind == "affekt-onnx":
            from affekt.inference import onnx

            return onnx.load(folder)
        if kind == "affekt":
            from affekt.inference import bundle

            return bundle.read(folder).narrow().predictor()
        from affekt.inference import classification

        return classification.load(folder, precision=precision)
    raise ModelError(
        f"{folder}: no model there ({CONFIG} is missing); give a folder that affekt run or affekt "
        "export wrote, or a checkpoint of transformers for the classification of audio"
    )


def locate(model: str, revision: str | None = None) -> Path:
    """The folder of a model: of a run its folder `model`, from the hub if it is not here.

    Raises:
        ModelError: there is none.
    """
    folder = Path(model).expanduser()
    if folder.is_file():
        raise ModelError(f"{model} is a file; give the folder of the model")
    if folder.is_dir():
        if revision is not None:
            raise ModelError(f"{model} is a folder, which has no revision; leave it out")
        return _of_run(folder) if (folder / "folds.json").is_file() else folder
    there = {OWN + path.name: path for path in sorted(HERE.glob("*")) if path.is_dir()}
    if model in there:
        return there[model]
    if model.startswith((".", "/", "~", OWN)) or model.count("/") != 1:
        raise ModelError(
            f"{model}: no such model folder; with affekt comes {', '.join(there)}."
            f"{nearest(model, there)}"
        )
    return _downloaded(model, revision)


def _of_run(run: Path) -> Path:
    folder = run / "model"
    if (folder / CONFIG).is_file():
        return folder
    own = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    if own:
        raise ModelError(f"{run}: a model per corpus; give one of {', '.join(map(str, own))}")
    raise ModelError(
        f"{run}: has no model folder, since an earlier affekt wrote it or it is not done; "
        f"run: affekt bundle {run}"
    )


def _downloaded(model: str, revision: str | None) -> Path:
    import huggingface_hub as hub

    try:
        return Path(hub.snapshot_download(model, revision=revision, ignore_patterns=["*.bin"]))
    except (OSError, ValueError) as e:
        called = f"'{model}' (revision {revision})" if revision else f"'{model}'"
        reason = str(e).splitlines()[0].rstrip(".")
        if isinstance(e, FileNotFoundError):
            reason = "it cannot be reached, or HF_HUB_OFFLINE is set, or has none of this name"
        raise ModelError(
            f"no model {called}: not a folder, and not to be had from the hub ({reason})"
        ) from e
