"""The trainable parts."""
