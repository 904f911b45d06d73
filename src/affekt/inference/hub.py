"""Model folders on Hugging Face's hub."""

from pathlib import Path

from affekt.errors import ModelError
from affekt.inference import bundle


def push(folder: Path, name: str) -> str:
    """Upload a model folder as the repository `name`, private if it is new; its address.

    The token is that of `hf auth login`, or of HF_TOKEN.

    Raises:
        ModelError: the folder is no model, the name no name, or the hub refuses.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not bundle.is_one(folder):
        raise ModelError(f"{folder}: no model folder; write one with affekt bundle RUN")
    try:
        hub.create_repo(name, exist_ok=True, private=True)
        done = hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Model of affekt")
    except HFValidationError as e:
        raise ModelError(f"'{name}' is no name on the hub; give OWNER/NAME") from e
    except (HfHubHTTPError, OSError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise ModelError(
            f"{folder} cannot be uploaded as {name} ({reason}); is there a connection, and a token "
            "(hf auth login, or HF_TOKEN) that may write there?"
        ) from e
    return str(done.commit_url)
