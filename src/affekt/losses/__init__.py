"""What is minimised."""

OBJECTIVES: dict[str, str] = {
    "classification": "affekt.losses.classification:Classification",
}
