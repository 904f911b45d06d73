"""Self-supervised pre-training of a speech encoder on any folder of speech."""
